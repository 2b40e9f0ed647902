import java.sql.Connection;
import java.sql.Savepoint;
import java.sql.Timestamp;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.util.PSQLException;

/** Queries, transactions, errors. */
class Queries extends Connections {
    static void manyShortConnections() throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(64);
        List<Future<?>> results = new ArrayList<>();
        for (int number = 0; number < 400; number++) {
            int mine = number;
            results.add(threads.submit(() -> {
                session(connection -> {
                    connection.setAutoCommit(false);
                    equal(value(connection, "select ?::int + 1", mine), mine + 1);
                    connection.commit();
                });
                return null;
            }));
        }
        for (Future<?> result : results) {
            result.get();
        }
        threads.shutdown();
    }

    static void simpleAndPreparedQueries() throws Exception {
        for (String mode : new String[] {"simple", "extended", "extendedForPrepared", "extendedCacheEverything"}) {
            for (int round = 0; round < 3; round++) {        // pgjdbc's names of statements are the same in each session
                session("preferQueryMode=" + mode + "&prepareThreshold=2", connection -> {
                    for (int number = 0; number < 6; number++) {
                        equal(value(connection, "select ?::int * 2", number), 2 * number);
                        equal(value(connection, "select ?::text", "grüße, '世界'"), "grüße, '世界'");
                        equal(value(connection, "select ?::text", (Object) null), null);
                        Timestamp moment = Timestamp.from(Instant.parse("2024-02-29T12:30:00Z"));
                        equal(value(connection, "select ?::timestamptz", moment), moment);
                    }
                    byte[] bytes = {0, 1, -1};
                    equal(value(connection, "select ?::bytea", (Object) bytes), bytes);
                });
            }
        }
    }

    static void transactionsAndTheirRollback() throws Exception {
        String table = newName();
        session(connection -> {
            execute(connection, "create table " + table + " (id int primary key)");
            connection.setAutoCommit(false);
            execute(connection, "insert into " + table + " values (1)");
            connection.rollback();
            connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            execute(connection, "insert into " + table + " values (2)");
            Savepoint here = connection.setSavepoint();
            failsWith("23505", () -> execute(connection, "insert into " + table + " values (2)"));
            failsWith("25P02", () -> execute(connection, "select 1"));
            connection.rollback(here);
            execute(connection, "insert into " + table + " values (3)");
            connection.commit();
        });
        session(connection -> {
            equal(value(connection, "select string_agg(id::text, ' ' order by id) from " + table), "2 3");
            equal(connection.getTransactionIsolation(), Connection.TRANSACTION_READ_COMMITTED);
        });
    }

    static void anErrorAndTheSessionGoesOn() throws Exception {
        for (String mode : new String[] {"extended", "simple"}) {
            String name = newName();
            session("preferQueryMode=" + mode + "&ApplicationName=" + name, connection -> {
                Exception told = failsWith("22012", () -> value(connection, "select 1 / ?::int", 0));
                check(told.getMessage().contains("division by zero"), told.getMessage());
                told = failsWith("42P01", () -> value(connection, "select * from no_such_table"));
                equal(((PSQLException) told).getServerErrorMessage().getPosition(), 15);
                String raise = "do $$ begin raise exception 'mine' using errcode = 'TP001', detail = 'more'; end $$";
                told = failsWith("TP001", () -> execute(connection, raise));
                equal(((PSQLException) told).getServerErrorMessage().getDetail(), "more");
                equal(value(connection, "select current_setting('application_name')"), name);
            });
        }
    }
}
