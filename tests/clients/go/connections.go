package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var ctx, _ = context.WithTimeout(context.Background(), 90*time.Second) //nolint: ends with the program

func overUnix(more string) string {
	return fmt.Sprintf("host=%s port=%s dbname=%s user=%s %s", os.Getenv("PGHOST"), os.Getenv("PGPORT"), os.Getenv("PGDATABASE"),
		os.Getenv("PGUSER"), more)
}

func overTCP(password string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%s dbname=%s user=%s password=%s", os.Getenv("TCP_PORT"), os.Getenv("PGDATABASE"),
		os.Getenv("PGUSER"), password)
}

func connect(conninfo string) *pgx.Conn {
	return must(pgx.Connect(ctx, conninfo))
}

// A session of its own for some work; what it leaves behind is the pool's business.
func session(more string, work func(*pgx.Conn)) {
	conn := connect(overUnix(more))
	defer conn.Close(ctx)
	work(conn)
}

func execute(conn *pgx.Conn, sql string, arguments ...any) {
	must(conn.Exec(ctx, sql, arguments...))
}

// The one value that a query answers.
func value[T any](conn *pgx.Conn, sql string, arguments ...any) (found T) {
	check(conn.QueryRow(ctx, sql, arguments...).Scan(&found))
	return found
}

func newName() string {
	var random [6]byte
	must(rand.Read(random[:]))
	return fmt.Sprintf("t_%x", random)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](result T, err error) T {
	check(err)
	return result
}

func equal(got, wanted any) {
	if !reflect.DeepEqual(got, wanted) {
		panic(fmt.Sprintf("got %v, not %v", got, wanted))
	}
}

func failsWith(err error, sqlstate string) *pgconn.PgError {
	var told *pgconn.PgError
	if !errors.As(err, &told) || told.Code != sqlstate {
		panic(fmt.Sprintf("got error %v, not %s", err, sqlstate))
	}
	return told
}

func waitUntil(condition func() bool) {
	for !condition() {
		check(ctx.Err())
		time.Sleep(20 * time.Millisecond)
	}
}
