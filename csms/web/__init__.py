"""The portal: server-rendered pages for staff.

routes            every address: method, path, page, permission; menu what of it stands in the menu
permissions       roles and what each may do, in one table
app               builds the Starlette application
guard             what happens around every page: login, permission, form token, one sentence when it fails
visit             one request of one person: how a page reads, writes and answers
auth, staff       logins and passwords; staff accounts (the command line uses staff too)
security, limits  headers of every answer; sizes and rates
forms             typed fields with one error each; formatting how figures are written; texts words for short names
cashier/  operations/  accounting/  administration/  integrations/      the pages, by who uses them
api/              the JSON API: its own list of endpoints, keys and scopes
models            tables
templates/  static/   texts and looks; static/vendor is unmodified and carries its licences
"""
