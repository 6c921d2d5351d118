"""Files over HTTP: firmware to stations, diagnostics and logs from them, and the pages about both.

receiving       bodies that are streamed to disk, raw or as a form
serving         the one-time links of stations; no login
firmware        the library, updates of single stations
campaigns       updates of a group
station_files   what stations sent, and asking them for it
"""
