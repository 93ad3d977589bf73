"""Three tables in rows.db, a view of each, and routes that write to the tables."""

import json

from datasette import hookimpl, Response

TABLES = {
    "numbers": "integer primary key",
    "texts": "text collate numeric primary key",
    "nocase": "text collate nocase primary key",
}
INSERT = "insert into {table} (id, number, grp) values (:id, :number, :grp)"


@hookimpl
def startup(datasette):
    async def create():
        for table, key in TABLES.items():
            await datasette.get_database("rows").execute_write_script(f"""
                drop view if exists {table}_view;
                drop table if exists {table};
                create table {table} (id {key}, number integer, grp integer);
                create view {table}_view as select * from {table};
            """)

    return create


@hookimpl
def prepare_connection(conn):
    conn.create_collation("numeric", lambda a, b: int(a) - int(b))
    conn.execute("pragma synchronous = off")  # The rows need not survive a power failure.


@hookimpl
def skip_csrf():
    return True


@hookimpl
def register_routes():
    tables = "|".join(TABLES)
    return [(rf"^/(?P<table>{tables})(/(?P<id>[^/]+))?$", write)]


async def write(request, datasette):
    """POST /TABLE adds a row, DELETE /TABLE/ID deletes one, PUT /TABLE replaces all rows."""
    table, key = request.url_vars["table"], request.url_vars["id"]
    body = json.loads(await request.post_body() or "null")
    rows = body if isinstance(body, list) else [body]

    def change(conn):
        with conn:
            if request.method == "DELETE":
                return conn.execute(f"delete from {table} where id = ?", [key]).rowcount
            if request.method == "PUT":
                conn.execute(f"delete from {table}")
            return conn.executemany(INSERT.format(table=table), rows).rowcount

    changed = await datasette.get_database("rows").execute_write_fn(change)
    return Response.json({"changed": changed}, status=200 if changed else 404)
