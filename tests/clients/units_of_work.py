"""A program: THREADS threads run UNITS units of work on a NullPool engine and report as JSON what failed.

    units_of_work.py URL THREADS UNITS FIRST-ID
"""

import json
import sys
import threading
from itertools import count

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool


def main(url, threads, units, first):
    engine = create_engine(url, poolclass=NullPool)
    numbers, errors = count(first), []

    def work():
        while (number := next(numbers)) < first + units:
            try:
                with engine.begin() as connection:
                    connection.execute(text("insert into units_of_work values (:id)"), {"id": number})
                    assert connection.scalar(text("select 42")) == 42
            except Exception as error:
                errors.append(str(error))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(json.dumps({"errors": len(errors), "first": errors[:3]}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
