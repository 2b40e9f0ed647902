// Clients by pgx without its pool: each is connected for one unit of work. The arguments are names of cases, --list tells them;
// tests/clients/programs.py builds this program and sets its environment.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
)

var cases = []struct {
	name string
	run  func()
}{
	{"many_short_connections", manyShortConnections},
	{"simple_and_prepared_queries", simpleAndPreparedQueries},
	{"transactions_and_their_rollback", transactionsAndTheirRollback},
	{"an_error_and_the_session_goes_on", anErrorAndTheSessionGoesOn},
	{"copy_in_and_out", copyInAndOut},
	{"a_cursor_read_in_pieces", aCursorReadInPieces},
	{"listen_and_notify", listenAndNotify},
	{"a_cancel_ends_one_query", aCancelEndsOneQuery},
	{"many_requests_in_one_go", manyRequestsInOneGo},
	{"startup_settings_hold_for_their_session", startupSettingsHoldForTheirSession},
	{"nothing_is_left_to_the_next", nothingIsLeftToTheNext},
	{"large_values_both_ways", largeValuesBothWays},
	{"a_password_over_tcp", aPasswordOverTCP},
	{"a_context_that_ends_in_mid_query", aContextThatEndsInMidQuery},
	{"database_sql_keeps_no_connection", databaseSQLKeepsNoConnection},
}

func main() {
	wanted, failed := map[string]bool{}, false
	for _, name := range os.Args[1:] {
		wanted[name] = true
	}
	for _, each := range cases {
		switch {
		case wanted["--list"]:
			fmt.Println(each.name)
		case wanted[each.name]:
			failed = !passes(each.name, each.run) || failed
		}
	}
	if failed {
		os.Exit(1)
	}
}

// A case panics where something is not as it should be.
func passes(name string, run func()) (ok bool) {
	defer func() {
		if why := recover(); why != nil {
			fmt.Printf("FAILED %s: %v\n%s", name, why, debug.Stack())
		}
	}()
	run()
	fmt.Println("ok", name)
	return true
}
