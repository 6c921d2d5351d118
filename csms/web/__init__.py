"""The portal: server-rendered pages for staff.

routes            every address: path, page, permission
app               builds the Starlette application
permissions       roles and what each may do, in one table
staff             staff accounts and one-time links (the command line uses it too)
models            tables
"""
