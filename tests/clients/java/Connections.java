import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Objects;
import java.util.UUID;

/** How to get in, ask, and look at what comes back. */
class Connections {
    interface Work {
        void with(Connection connection) throws Exception;
    }

    interface Attempt {
        void run() throws Exception;
    }

    static Connection connect(String more, String password) throws SQLException {
        String url = "jdbc:postgresql://127.0.0.1:" + System.getenv("TCP_PORT") + "/" + System.getenv("PGDATABASE") + "?" + more;
        return DriverManager.getConnection(url, System.getenv("PGUSER"), password);
    }

    /** A session of its own for some work; what it leaves behind is the pool's business. */
    static void session(String more, Work work) throws Exception {
        try (Connection connection = connect(more, System.getenv("TCP_PASSWORD"))) {
            work.with(connection);
        }
    }

    static void session(Work work) throws Exception {
        session("", work);
    }

    static void execute(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    /** The one value that a query answers. */
    static Object value(Connection connection, String sql, Object... parameters) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int at = 0; at < parameters.length; at++) {
                statement.setObject(at + 1, parameters[at]);
            }
            try (ResultSet rows = statement.executeQuery()) {
                check(rows.next(), "no row");
                return rows.getObject(1);
            }
        }
    }

    static SQLException failsWith(String sqlstate, Attempt attempt) throws Exception {
        try {
            attempt.run();
        } catch (SQLException told) {
            equal(told.getSQLState(), sqlstate);
            return told;
        }
        throw new AssertionError("no " + sqlstate);
    }

    static void equal(Object got, Object wanted) {
        check(Objects.deepEquals(got, wanted), "got " + got + ", not " + wanted);
    }

    static void check(boolean holds, String why) {
        if (!holds) {
            throw new AssertionError(why);
        }
    }

    static String newName() {
        return "t_" + UUID.randomUUID().toString().substring(24);
    }
}
