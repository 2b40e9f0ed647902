import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Clients by pgjdbc without a pool: each is connected for one unit of work, over TCP with a password. The arguments are names of cases,
 * --list tells them; tests/clients/programs.py builds this program and sets its environment.
 */
public class Clients {
    interface Case {
        void run() throws Exception;
    }

    static Map<String, Case> cases() {
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("many_short_connections", Queries::manyShortConnections);
        cases.put("simple_and_prepared_queries", Queries::simpleAndPreparedQueries);
        cases.put("transactions_and_their_rollback", Queries::transactionsAndTheirRollback);
        cases.put("an_error_and_the_session_goes_on", Queries::anErrorAndTheSessionGoesOn);
        cases.put("copy_in_and_out", Transfers::copyInAndOut);
        cases.put("a_cursor_read_in_pieces", Transfers::aCursorReadInPieces);
        cases.put("listen_and_notify", Sessions::listenAndNotify);
        cases.put("a_cancel_ends_one_query", Sessions::aCancelEndsOneQuery);
        cases.put("many_requests_in_one_go", Transfers::manyRequestsInOneGo);
        cases.put("startup_settings_hold_for_their_session", Sessions::startupSettingsHoldForTheirSession);
        cases.put("nothing_is_left_to_the_next", Sessions::nothingIsLeftToTheNext);
        cases.put("large_values_both_ways", Transfers::largeValuesBothWays);
        cases.put("a_password_over_tcp", Sessions::aPasswordOverTcp);
        cases.put("a_query_timeout", Sessions::aQueryTimeout);
        return cases;
    }

    public static void main(String[] wanted) {
        boolean failed = false;
        for (String name : wanted) {
            if (name.equals("--list")) {
                System.out.println(String.join("\n", cases().keySet()));
            } else {
                failed |= !passes(name);
            }
        }
        System.exit(failed ? 1 : 0);        // threads of a case that failed may still wait for something
    }

    static boolean passes(String name) {
        try {
            cases().get(name).run();
            System.out.println("ok " + name);
            return true;
        } catch (Throwable why) {
            System.out.println("FAILED " + name + ": " + why);
            why.printStackTrace();
            return false;
        }
    }
}
