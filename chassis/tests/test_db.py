"""The fast way to read."""

import re

import sqlalchemy as sa

from chassis.db import Query


class TestQuery:
    def test_a_dozen_parameters_each_keep_their_place(self) -> None:
        columns: list[sa.ColumnClause[str]] = [sa.column(f"c{place}", sa.Text) for place in range(12)]
        wanted = [column == sa.bindparam(f"p{place}", type_=sa.Text) for place, column in enumerate(columns)]

        query = Query(sa.select(sa.literal_column("1").label("one")).where(*wanted).limit(sa.literal_column("1")))

        assert re.findall(r"c\d+ = \$(\d+)", query.sql) == [str(place + 2) for place in range(12)]
