import java.io.ByteArrayInputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.Arrays;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

/** Much in one go: COPY, cursors, batches, large values. */
class Transfers extends Connections {
    static void copyInAndOut() throws Exception {
        String table = newName();
        StringBuilder lines = new StringBuilder();
        for (int number = 0; number < 20000; number++) {
            lines.append(number).append("\trow ").append(number).append(' ').append("x".repeat(200)).append('\n');
        }
        session(connection -> {
            execute(connection, "create table " + table + " (id int, body text)");
            CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
            equal(copy.copyIn("copy " + table + " from stdin", new StringReader(lines.toString())), 20000L);
        });
        session(connection -> {
            CopyManager copy = connection.unwrap(PGConnection.class).getCopyAPI();
            StringWriter out = new StringWriter();
            equal(copy.copyOut("copy (select * from " + table + " order by id) to stdout", out), 20000L);
            check(out.toString().contentEquals(lines), "other rows came back");
            failsWith("22P02", () -> copy.copyIn("copy " + table + " from stdin", new StringReader("1\ta\nnot a number\tb\n")));
            equal(value(connection, "select count(*) from " + table), 20000L);
        });
    }

    static void aCursorReadInPieces() throws Exception {
        session(connection -> {
            connection.setAutoCommit(false);        // pgjdbc fetches in pieces inside a transaction only
            try (Statement statement = connection.createStatement()) {
                statement.setFetchSize(100);
                try (ResultSet rows = statement.executeQuery("select generate_series(1, 5000)")) {
                    for (int number = 1; number <= 5000; number++) {
                        check(rows.next(), "it ends in front of " + number);
                        equal(rows.getInt(1), number);
                    }
                    check(!rows.next(), "it goes on");
                }
                try (ResultSet rows = statement.executeQuery("select generate_series(1, 5000)")) {
                    check(rows.next(), "no row");        // and the rest is left there
                }
            }
            connection.commit();
            equal(value(connection, "select count(*) from pg_cursors where name <> ''"), 0L);
        });
    }

    static void manyRequestsInOneGo() throws Exception {
        for (String rewritten : new String[] {"false", "true"}) {
            String table = newName();
            session("reWriteBatchedInserts=" + rewritten, connection -> {
                execute(connection, "create table " + table + " (id int primary key)");
                try (PreparedStatement statement = connection.prepareStatement("insert into " + table + " values (?)")) {
                    for (int number = 0; number < 300; number++) {
                        statement.setInt(1, number);
                        statement.addBatch();
                    }
                    equal(statement.executeBatch().length, 300);
                    connection.setAutoCommit(false);
                    for (int number : new int[] {1000, 1001, 1000, 1002}) {
                        statement.setInt(1, number);
                        statement.addBatch();
                    }
                    check(failsWith("23505", statement::executeBatch) instanceof BatchUpdateException, "another kind of error");
                    connection.rollback();
                }
                equal(value(connection, "select count(*) from " + table), 300L);
            });
        }
    }

    static void largeValuesBothWays() throws Exception {
        String text = "tidepool".repeat(1 << 20);
        byte[] bytes = new byte[8 << 20];
        for (int at = 0; at < bytes.length; at++) {
            bytes[at] = (byte) at;
        }
        session(connection -> {
            equal(value(connection, "select length(?::text)", text), text.length());
            check(text.equals(value(connection, "select ?::text", text)), "another text came back");
            try (PreparedStatement statement = connection.prepareStatement("select ?::bytea")) {
                statement.setBinaryStream(1, new ByteArrayInputStream(bytes), bytes.length);
                try (ResultSet rows = statement.executeQuery()) {
                    check(rows.next() && Arrays.equals(rows.getBytes(1), bytes), "other bytes came back");
                }
            }
            equal(((String) value(connection, "select repeat('x', 20000000)")).length(), 20000000);
        });
    }
}
