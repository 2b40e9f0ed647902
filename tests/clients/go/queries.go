package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

func manyShortConnections() {
	const clients, atOnce = 400, 64
	gate, results := make(chan struct{}, atOnce), make(chan error, clients)
	for number := 0; number < clients; number++ {
		gate <- struct{}{}
		go func(number int) {
			results <- unitOfWork(number)
			<-gate
		}(number)
	}
	for number := 0; number < clients; number++ {
		check(<-results)
	}
}

func unitOfWork(number int) error {
	conn, err := pgx.Connect(ctx, overUnix(""))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var next int
		if err := tx.QueryRow(ctx, "select $1::int + 1", number).Scan(&next); err != nil {
			return err
		}
		if next != number+1 {
			return fmt.Errorf("%d + 1 is %d", number, next)
		}
		return nil
	})
}

func simpleAndPreparedQueries() {
	modes := []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}
	for _, mode := range modes {
		session("", func(conn *pgx.Conn) {
			for round := 0; round < 3; round++ {
				equal(value[int](conn, "select $1::int + $2::int", mode, 40, 2), 42)
				equal(value[string](conn, "select $1::text", mode, "grüße, '世界'"), "grüße, '世界'")
				equal(value[*string](conn, "select $1::text", mode, nil), (*string)(nil))
				equal(value[[]byte](conn, "select $1::bytea", mode, []byte{0, 1, 255}), []byte{0, 1, 255})
				moment := time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC)
				equal(value[time.Time](conn, "select $1::timestamptz", mode, moment).UTC(), moment)
			}
		})
	}
	for round := 0; round < 10; round++ { // the same name in each session
		session("", func(conn *pgx.Conn) {
			must(conn.Prepare(ctx, "twice", "select $1::int * 2"))
			equal(value[int](conn, "twice", 21), 42)
			equal(value[int](conn, "twice", round), 2*round)
		})
	}
	session("", func(conn *pgx.Conn) {
		results := must(conn.PgConn().Exec(ctx, "select 1; select 2; select 'three'").ReadAll())
		equal(len(results), 3)
		equal(string(results[2].Rows[0][0]), "three")
	})
}

func transactionsAndTheirRollback() {
	table := newName()
	session("", func(conn *pgx.Conn) {
		execute(conn, "create table "+table+" (id int primary key)")
		tx := must(conn.Begin(ctx))
		must(tx.Exec(ctx, "insert into "+table+" values (1)"))
		check(tx.Rollback(ctx))
		tx = must(conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable}))
		must(tx.Exec(ctx, "insert into "+table+" values (2)"))
		savepoint := must(tx.Begin(ctx))
		_, err := savepoint.Exec(ctx, "insert into "+table+" values (2)")
		failsWith(err, "23505")
		check(savepoint.Rollback(ctx))
		must(tx.Exec(ctx, "insert into "+table+" values (3)"))
		check(tx.Commit(ctx))
	})
	session("", func(conn *pgx.Conn) {
		equal(value[[]int32](conn, "select array_agg(id order by id) from "+table), []int32{2, 3})
	})
}

func anErrorAndTheSessionGoesOn() {
	name := newName()
	session("application_name="+name, func(conn *pgx.Conn) {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
			_, err := conn.Exec(ctx, "select 1 / $1::int", mode, 0)
			equal(failsWith(err, "22012").Message, "division by zero")
			_, err = conn.Exec(ctx, "select * from no_such_table", mode)
			equal(failsWith(err, "42P01").Position, int32(15))
			_, err = conn.Exec(ctx, "do $$ begin raise exception 'mine' using errcode = 'TP001', detail = 'more'; end $$", mode)
			equal(failsWith(err, "TP001").Detail, "more")
		}
		equal(value[string](conn, "select current_setting('application_name')"), name)
	})
}

func copyInAndOut() {
	table := newName()
	session("", func(conn *pgx.Conn) {
		execute(conn, "create table "+table+" (id int, body text)")
		rows := pgx.CopyFromSlice(20000, func(at int) ([]any, error) {
			return []any{at, fmt.Sprintf("row %d %s", at, strings.Repeat("x", 200))}, nil
		})
		equal(must(conn.CopyFrom(ctx, pgx.Identifier{table}, []string{"id", "body"}, rows)), int64(20000))
	})
	session("", func(conn *pgx.Conn) {
		var out bytes.Buffer
		equal(must(conn.PgConn().CopyTo(ctx, &out, "copy "+table+" to stdout")).RowsAffected(), int64(20000))
		equal(bytes.Count(out.Bytes(), []byte("\n")), 20000)
		_, err := conn.PgConn().CopyFrom(ctx, strings.NewReader("1\ta\nnot a number\tb\n"), "copy "+table+" from stdin")
		failsWith(err, "22P02")
		equal(must(conn.PgConn().CopyFrom(ctx, &out, "copy "+table+" from stdin")).RowsAffected(), int64(20000))
		equal(value[int](conn, "select count(*) from "+table), 40000)
	})
}

func aCursorReadInPieces() {
	session("", func(conn *pgx.Conn) {
		tx := must(conn.Begin(ctx))
		must(tx.Exec(ctx, "declare mine cursor for select generate_series(1, 5000)"))
		var seen []int
		for {
			piece := must(pgx.CollectRows(must(tx.Query(ctx, "fetch 100 from mine")), pgx.RowTo[int]))
			seen = append(seen, piece...)
			if len(piece) == 0 {
				break
			}
			equal(len(piece), 100)
		}
		check(tx.Commit(ctx))
		equal(len(seen), 5000)
		equal(seen[4999], 5000)
	})
}

func manyRequestsInOneGo() {
	table := newName()
	session("", func(conn *pgx.Conn) {
		execute(conn, "create table "+table+" (id int primary key)")
		batch := &pgx.Batch{}
		for number := 0; number < 300; number++ {
			batch.Queue("insert into "+table+" values ($1) returning id", number)
		}
		results := conn.SendBatch(ctx, batch)
		for number := 0; number < 300; number++ {
			var id int
			check(results.QueryRow().Scan(&id))
			equal(id, number)
		}
		check(results.Close())

		batch = &pgx.Batch{} // one that fails in its middle leaves nothing
		for _, number := range []int{1000, 1001, 1000, 1002} {
			batch.Queue("insert into "+table+" values ($1)", number)
		}
		failsWith(conn.SendBatch(ctx, batch).Close(), "23505")
		equal(value[int](conn, "select count(*) from "+table), 300)

		pipeline := conn.PgConn().StartPipeline(ctx) // two Syncs: the second part does not care for the first
		pipeline.SendQueryParams("select 1 / 0", nil, nil, nil, nil)
		check(pipeline.Sync())
		pipeline.SendQueryParams("select 42", nil, nil, nil, nil)
		check(pipeline.Sync())
		failsWith(pipeline.Close(), "22012")
		equal(value[int](conn, "select 42"), 42)
	})
}

func largeValuesBothWays() {
	session("", func(conn *pgx.Conn) {
		text := strings.Repeat("tidepool", 1<<20)
		equal(value[int](conn, "select length($1::text)", text), len(text))
		if value[string](conn, "select $1::text", text) != text {
			panic("another text came back")
		}
		binary := bytes.Repeat([]byte{0, 1, 2, 255}, 1<<21)
		if !bytes.Equal(value[[]byte](conn, "select $1::bytea", binary), binary) {
			panic("other bytes came back")
		}
		equal(len(value[string](conn, "select repeat('x', 20000000)")), 20000000)
	})
}
