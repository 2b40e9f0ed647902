import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

/** What belongs to a session, and ends with it. */
class Sessions extends Connections {
    static void listenAndNotify() throws Exception {
        String channel = newName();
        List<String> heard = new ArrayList<>();
        session(listener -> {
            execute(listener, "listen " + channel);
            session(speaker -> {
                for (String said : List.of("one", "two", "three")) {
                    value(speaker, "select pg_notify(?, ?)", channel, said);
                }
            });
            while (heard.size() < 3) {
                PGNotification[] came = listener.unwrap(PGConnection.class).getNotifications(60000);
                check(came != null && came.length > 0, "only heard " + heard);
                for (PGNotification each : came) {
                    equal(each.getName(), channel);
                    heard.add(each.getParameter());
                }
            }
            equal(heard, List.of("one", "two", "three"));
        });
        session(other -> equal(value(other, "select count(*) from pg_listening_channels()"), 0L));
    }

    /** Found by its name: in transaction mode it may have another server for each query. */
    static boolean sleeps(Connection watcher, String name) throws SQLException {
        return value(watcher, "select count(*) from pg_stat_activity where application_name = ? and wait_event = 'PgSleep'", name).equals(1L);
    }

    static void aCancelEndsOneQuery() throws Exception {
        String name = newName();
        session(watcher -> session("ApplicationName=" + name, connection -> {
            for (int round = 0; round < 3; round++) {
                try (Statement statement = connection.createStatement()) {
                    CompletableFuture<Void> sent = CompletableFuture.runAsync(() -> {
                        try {
                            while (!sleeps(watcher, name)) {
                                Thread.sleep(10);
                            }
                            statement.cancel();
                        } catch (Exception why) {
                            throw new RuntimeException(why);
                        }
                    });
                    failsWith("57014", () -> statement.execute("select pg_sleep(50)"));
                    sent.get();
                }
                equal(value(connection, "select current_setting('application_name')"), name);
            }
        }));
    }

    /** pgjdbc sends a cancel of its own then. */
    static void aQueryTimeout() throws Exception {
        String name = newName();
        session("ApplicationName=" + name, connection -> {
            try (Statement statement = connection.createStatement()) {
                statement.setQueryTimeout(1);
                failsWith("57014", () -> statement.execute("select pg_sleep(50)"));
            }
            equal(value(connection, "select current_setting('application_name')"), name);
        });
    }

    static String shown(Connection connection) throws SQLException {
        return (String) value(connection, "select concat_ws('|', current_setting('application_name'), current_setting('search_path'),"
            + " current_setting('statement_timeout'))");
    }

    static void startupSettingsHoldForTheirSession() throws Exception {
        String[] before = new String[1];
        session(connection -> before[0] = shown(connection));
        for (int round = 0; round < 6; round++) {
            boolean atOnce = round % 2 == 0;        // else pgjdbc SETs the application_name when it is connected
            session((atOnce ? "assumeMinServerVersion=9.0&" : "") + "ApplicationName=shop&currentSchema=pg_catalog&options=-c%20statement_timeout=45s", connection -> {
                equal(shown(connection), "shop|pg_catalog|45s");
                execute(connection, "set statement_timeout = 0");
                execute(connection, "reset all");
                equal(shown(connection), atOnce ? "shop|pg_catalog|45s" : "|pg_catalog|45s");
            });
            session(next -> equal(shown(next), before[0]));
        }
        failsWith("22023", () -> session("options=-c%20work_mem=much", connection -> {}));
    }

    static void nothingIsLeftToTheNext() throws Exception {
        String table = newName();
        String left = "select concat_ws('|', (select count(*) from pg_prepared_statements where name not like 'tidepool%'),"
            + " (select count(*) from pg_cursors where name <> ''),"
            + " (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),"
            + " to_regclass('pg_temp." + table + "'), current_setting('search_path'), (select count(*) from " + table + "))";
        session(connection -> execute(connection, "create table " + table + " (id int)"));
        for (int round = 0; round < 10; round++) {
            session("prepareThreshold=1", connection -> {
                execute(connection, "create temp table " + table + " (id int)");
                value(connection, "select pg_advisory_lock(?)", 7);
                execute(connection, "declare held cursor with hold for select 1");
                execute(connection, "set search_path = pg_catalog");
                connection.setAutoCommit(false);
                execute(connection, "insert into public." + table + " values (1)");
            });
            session(next -> equal(value(next, left), "0|0|0|\"$user\", public|0"));
        }
    }

    static void aPasswordOverTcp() throws Exception {
        for (int round = 0; round < 3; round++) {
            session(connection -> equal(value(connection, "select current_user = ?", System.getenv("PGUSER")), true));
            failsWith("28P01", () -> connect("", "wrong"));
        }
    }
}
