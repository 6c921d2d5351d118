"""The JSON API under /api/v1, for programs of others.

routes            every endpoint, one line for each resource's module
endpoint          what an endpoint is, what its function gets; paging, money
serving           what happens around every endpoint: key, scope, rate, body, repetition, problem
problems          what an answer says when something is wrong (RFC 9457)
keys, scopes      who may do what
once, repetitions what an Idempotency-Key is good for
openapi           the description, made from the list
values            money, numbers and moments, as they are written
event_views, feed what happens, as others see it; who listens
models            tables
commands ...      the resources, one module each

To add a resource, write `csms/web/api/<resource>.py` and add `*<resource>.ENDPOINTS` to `routes.py`:

    class Reservation(msgspec.Struct, frozen=True):          # what is shown: snake_case, energy in Wh, moments as
        id: int                                              # datetime, which are written in UTC with Z
        expires_at: datetime

    class ReservationFilter(Paging, frozen=True, forbid_unknown_fields=True, kw_only=True):  # query parameters
        state: Literal["active", "ended"] | None = None

    class NewReservation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):  # a body
        connector_id: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]  # limits here are checked and described

    async def show_list(call: ApiCall, query: ReservationFilter) -> Page[Reservation]:
        charge_point_id = call.path_number("charge_point_id")  # 404 where no id can be so large
        after = read_cursor(query.cursor, tuple[int])  # None at the beginning of the list
        rows = await call.read(lambda connection: reservations.list(connection, after, limit=query.limit + 1))
        return page_of(rows, query.limit, lambda row: (row.id,))  # one more was read to know if there are more

    async def create(call: ApiCall, wanted: NewReservation) -> Reservation:
        outcome = await call.submit(Reserve(..., call.actor))  # the engine; or call.write(...) for administration
        raise Problem("refused", "The connector is reserved.", reason="occupied")  # 409; see problems.PROBLEMS
        raise Problem("invalid", "Must lie ahead.", field="expires_at")  # 422 that names the field
        return found(row, "reservation")  # 404 where it is None

    ENDPOINTS = (
        Endpoint("GET", "/charge-points/{charge_point_id:int}/reservations", show_list, "reservations:read",
                 "List reservations", Page[Reservation], "reservations", query=ReservationFilter,
                 problems=("not-found",)),
        Endpoint("POST", "/reservations", create, "reservations:write", "Reserve a connector", Reservation,
                 "reservations", status=201, request=NewReservation, example={"connector_id": 1},
                 problems=("not-found", "refused")),
    )

Scopes stand in `scopes.py` (those for reservations, local lists, charging profiles, files, security and messages are
there). Every kind of problem that a function may raise beside the usual ones (401, 403, 422, 429, ...) has to be named
in `problems`: a test tries the whole API against its own description with arbitrary requests. Whoever sends a command
as part of an act uses `commands.answered(call, command_id, wait_s)`. Answers in other formats (a file) are Starlette
responses, with `response=bytes` and their `media_type`.
"""
