"use strict";

const assert = require("node:assert/strict");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const Cursor = require("pg-cursor");
const copy = require("pg-copy-streams");
const { failsWith, newName, session, value } = require("./connections");

async function many_short_connections() {
  let next = 0;
  async function worker() {
    for (let number = next++; number < 400; number = next++) {
      await session({}, async (client) => {
        await client.query("begin");
        assert.equal(await value(client, "select $1::int + 1", [number]), number + 1);
        await client.query("commit");
      });
    }
  }
  await Promise.all(Array.from({ length: 64 }, worker));
}

async function simple_and_prepared_queries() {
  await session({}, async (client) => {
    assert.equal(await value(client, "select 42"), 42);
    const several = await client.query("select 1; select 2; select 'three' as word");
    assert.deepEqual(several.map(({ rows }) => rows.length), [1, 1, 1]);
    assert.equal(several[2].rows[0].word, "three");
    const moment = new Date("2024-02-29T12:30:00Z");
    const { rows } = await client.query("select $1::int + $2::int as sum, $3::text as text, $4::text as nothing, $5::bytea as bytes, $6::timestamptz as moment",
      [40, 2, "grüße, '世界'", null, Buffer.from([0, 1, 255]), moment]);
    assert.deepEqual(rows, [{ sum: 42, text: "grüße, '世界'", nothing: null, bytes: Buffer.from([0, 1, 255]), moment }]);
  });
  for (let round = 0; round < 10; round++) {        // the same name in each session
    await session({}, async (client) => {
      for (const number of [21, round]) {
        assert.equal(await value(client, { name: "twice", text: "select $1::int * 2", values: [number] }), 2 * number);
      }
    });
  }
}

async function transactions_and_their_rollback() {
  const table = newName();
  await session({}, async (client) => {
    await client.query(`create table ${table} (id int primary key)`);
    await client.query("begin");
    await client.query(`insert into ${table} values (1)`);
    await client.query("rollback");
    await client.query("begin isolation level serializable");
    await client.query(`insert into ${table} values (2)`);
    await client.query("savepoint here");
    await failsWith(client.query(`insert into ${table} values ($1)`, [2]), "23505");
    await failsWith(client.query("select 1"), "25P02");
    await client.query("rollback to here");
    await client.query(`insert into ${table} values (3)`);
    await client.query("commit");
  });
  await session({}, async (client) => {
    assert.deepEqual(await value(client, `select array_agg(id order by id) from ${table}`), [2, 3]);
  });
}

async function an_error_and_the_session_goes_on() {
  const name = newName();
  await session({ application_name: name }, async (client) => {
    for (const parameters of [undefined, []]) {     // the simple protocol, the extended one
      assert.equal((await failsWith(client.query("select 1 / 0", parameters), "22012")).message, "division by zero");
      assert.equal((await failsWith(client.query("select * from no_such_table", parameters), "42P01")).position, "15");
      const raise = "do $$ begin raise exception 'mine' using errcode = 'TP001', detail = 'more'; end $$";
      assert.equal((await failsWith(client.query(raise, parameters), "TP001")).detail, "more");
    }
    await failsWith(client.query("select 1 / $1::int", [0]), "22012");
    assert.equal(await value(client, "select current_setting('application_name')"), name);
  });
}

async function copy_in_and_out() {
  const table = newName();
  const lines = Array.from({ length: 20000 }, (_, number) => `${number}\trow ${number} ${"x".repeat(200)}\n`);
  await session({}, async (client) => {
    await client.query(`create table ${table} (id int, body text)`);
    const sink = client.query(copy.from(`copy ${table} from stdin`));
    await pipeline(Readable.from(lines), sink);
    assert.equal(sink.rowCount, 20000);
  });
  await session({}, async (client) => {
    const pieces = [];
    for await (const piece of client.query(copy.to(`copy (select * from ${table} order by id) to stdout`))) {
      pieces.push(piece);
    }
    assert.ok(Buffer.concat(pieces).toString() === lines.join(""), "other rows came back");
    const bad = client.query(copy.from(`copy ${table} from stdin`));
    await failsWith(pipeline(Readable.from(["1\ta\nnot a number\tb\n"]), bad), "22P02");
    assert.equal(await value(client, `select count(*) from ${table}`), "20000");
  });
}

async function a_cursor_read_in_pieces() {
  await session({}, async (client) => {
    const cursor = client.query(new Cursor("select generate_series(1, $1::int) as n", [5000]));
    const seen = [];
    for (let rows = await cursor.read(100); rows.length > 0; rows = await cursor.read(100)) {
      assert.equal(rows.length, 100);
      seen.push(...rows);
    }
    assert.equal(seen.length, 5000);
    assert.equal(seen[4999].n, 5000);
    const given_up = client.query(new Cursor("select generate_series(1, 5000)"));
    await given_up.read(10);
    await given_up.close();
    assert.equal(await value(client, "select count(*) from pg_cursors"), "0");
  });
}

// pg sends one query after the other has been answered; many in one message is what it has of a batch.
async function many_requests_in_one_go() {
  const table = newName();
  await session({}, async (client) => {
    await client.query(`create table ${table} (id int primary key)`);
    const numbers = Array.from({ length: 300 }, (_, number) => number);
    const results = await client.query(numbers.map((number) => `insert into ${table} values (${number}) returning id`).join(";"));
    assert.deepEqual(results.map(({ rows }) => rows[0].id), numbers);
    const bad = [1000, 1001, 1000, 1002].map((number) => `insert into ${table} values (${number})`).join(";");
    await failsWith(client.query(bad), "23505");    // one that fails in its middle leaves nothing
    assert.equal(await value(client, `select count(*) from ${table}`), "300");
    const asked = numbers.map((number) => client.query("select $1::int as n", [number]));
    assert.deepEqual((await Promise.all(asked)).map(({ rows }) => rows[0].n), numbers);
  });
}

async function large_values_both_ways() {
  await session({}, async (client) => {
    const text = "tidepool".repeat(1 << 20);
    const bytes = Buffer.alloc(8 << 20, Buffer.from([0, 1, 2, 255]));
    const { rows } = await client.query("select $1::text as text, length($1::text) as length, $2::bytea as bytes", [text, bytes]);
    assert.ok(rows[0].text === text, "another text came back");
    assert.equal(rows[0].length, text.length);
    assert.ok(rows[0].bytes.equals(bytes), "other bytes came back");
    assert.equal((await value(client, "select repeat('x', 20000000)")).length, 20000000);
  });
}

module.exports = {
  many_short_connections, simple_and_prepared_queries, transactions_and_their_rollback, an_error_and_the_session_goes_on, copy_in_and_out,
  a_cursor_read_in_pieces, many_requests_in_one_go, large_values_both_ways,
};
