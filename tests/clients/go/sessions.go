package main

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
)

func listenAndNotify() {
	channel := newName()
	session("", func(listener *pgx.Conn) {
		execute(listener, "listen "+channel)
		session("", func(speaker *pgx.Conn) {
			for _, said := range []string{"one", "two", "three"} {
				execute(speaker, "select pg_notify($1, $2)", channel, said)
			}
		})
		for _, said := range []string{"one", "two", "three"} {
			heard := must(listener.WaitForNotification(ctx))
			equal(heard.Channel+heard.Payload, channel+said)
		}
	})
	session("", func(other *pgx.Conn) {
		equal(value[int](other, "select count(*) from pg_listening_channels()"), 0)
	})
}

// Found by its name: in transaction mode it may have another server for each query.
func sleeps(conn *pgx.Conn, name string) bool {
	return value[int](conn, "select count(*) from pg_stat_activity where application_name = $1 and wait_event = 'PgSleep'", name) == 1
}

func aCancelEndsOneQuery() {
	name := newName()
	session("application_name="+name, func(conn *pgx.Conn) {
		session("", func(watcher *pgx.Conn) {
			for round := 0; round < 3; round++ {
				sent := make(chan error)
				go func() {
					for !sleeps(watcher, name) {
						time.Sleep(10 * time.Millisecond)
					}
					sent <- conn.PgConn().CancelRequest(ctx)
				}()
				_, err := conn.Exec(ctx, "select pg_sleep(50)")
				failsWith(err, "57014")
				check(<-sent)
				equal(value[string](conn, "select current_setting('application_name')"), name)
			}
		})
	})
}

// pgx gives the connection up then, and cancels what runs there.
func aContextThatEndsInMidQuery() {
	session("", func(watcher *pgx.Conn) {
		for round := 0; round < 3; round++ {
			name := newName()
			conn := connect(overUnix("application_name=" + name))
			short, end := context.WithTimeout(ctx, 200*time.Millisecond)
			_, err := conn.Exec(short, "select pg_sleep(50)")
			end()
			equal(errors.Is(err, context.DeadlineExceeded), true)
			equal(conn.IsClosed(), true)
			waitUntil(func() bool { return !sleeps(watcher, name) })
		}
		session("", func(next *pgx.Conn) { equal(value[int](next, "select 42"), 42) })
	})
}

func startupSettingsHoldForTheirSession() {
	shown := func(conn *pgx.Conn) string {
		return value[string](conn, "select concat_ws('|', current_setting('application_name'), current_setting('search_path'),"+
			" current_setting('timezone'), current_setting('statement_timeout'))")
	}
	var before string
	session("", func(conn *pgx.Conn) { before = shown(conn) })
	for round := 0; round < 5; round++ {
		session("application_name=shop search_path=pg_catalog timezone=Asia/Tokyo options='-c statement_timeout=45s'", func(conn *pgx.Conn) {
			equal(shown(conn), "shop|pg_catalog|Asia/Tokyo|45s")
			equal(conn.PgConn().ParameterStatus("TimeZone"), "Asia/Tokyo")
			execute(conn, "set timezone = 'Europe/Paris'")
			execute(conn, "reset all")
			equal(shown(conn), "shop|pg_catalog|Asia/Tokyo|45s")
		})
		session("", func(next *pgx.Conn) { equal(shown(next), before) })
	}
	_, err := pgx.Connect(ctx, overUnix("work_mem=much"))
	failsWith(err, "22023")
}

func nothingIsLeftToTheNext() {
	table := newName()
	left := "select concat_ws('|', (select count(*) from pg_prepared_statements where name not like 'tidepool%'), (select count(*) from pg_cursors)," +
		" (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())," +
		" to_regclass('pg_temp." + table + "'), current_setting('search_path'), current_user = session_user," +
		" (select count(*) from " + table + "))"
	session("", func(conn *pgx.Conn) { execute(conn, "create table "+table+" (id int)") })
	for round := 0; round < 10; round++ {
		session("", func(conn *pgx.Conn) {
			execute(conn, "create temp table "+table+" (id int)")
			execute(conn, "select pg_advisory_lock(7)")
			must(conn.Prepare(ctx, "mine", "select 1"))
			execute(conn, "declare held cursor with hold for select 1")
			execute(conn, "set search_path = pg_catalog")
			execute(conn, "begin")
			execute(conn, "insert into public."+table+" values (1)")
		})
		session("", func(next *pgx.Conn) {
			found := value[string](next, left, pgx.QueryExecModeSimpleProtocol)
			equal(strings.ReplaceAll(found, "\"", ""), "0|0|0|$user, public|t|0")
		})
	}
}

func aPasswordOverTCP() {
	for round := 0; round < 3; round++ {
		conn := connect(overTCP("secret"))
		equal(value[bool](conn, "select current_user = 'app'"), true)
		check(conn.Close(ctx))
		_, err := pgx.Connect(ctx, overTCP("wrong"))
		failsWith(err, "28P01")
	}
}

// With SetMaxIdleConns(0): what one unit of work did to its session is not there in the next.
func databaseSQLKeepsNoConnection() {
	db := must(sql.Open("pgx", overUnix("")))
	defer db.Close()
	db.SetMaxIdleConns(0)
	results := make(chan error)
	for number := 0; number < 64; number++ {
		go func(number int) {
			var before string
			var next int
			err := db.QueryRowContext(ctx, "select set_config('lock_timeout', '7s', false)").Scan(&before)
			if err == nil {
				err = db.QueryRowContext(ctx, "select $1::int + 1, current_setting('lock_timeout')", number).Scan(&next, &before)
			}
			if err == nil && (next != number+1 || before != "0") {
				err = errors.New("a lock_timeout of " + before)
			}
			results <- err
		}(number)
	}
	for number := 0; number < 64; number++ {
		check(<-results)
	}
	equal(db.Stats().Idle, 0)
}
