"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { Client, Pool, Query } = require("pg");
const { connect, failsWith, newName, overTcp, place, session, value, waitUntil } = require("./connections");

async function listen_and_notify() {
  const channel = newName();
  const said = ["one", "two", "three"];
  await session({}, async (listener) => {
    const heard = [];
    listener.on("notification", (message) => heard.push([message.channel, message.payload]));
    await listener.query(`listen ${channel}`);
    await session({}, async (speaker) => {
      for (const word of said) {
        await speaker.query("select pg_notify($1, $2)", [channel, word]);
      }
    });
    await waitUntil(() => heard.length >= said.length);
    assert.deepEqual(heard, said.map((word) => [channel, word]));
  });
  await session({}, async (other) => {
    assert.equal(await value(other, "select count(*) from pg_listening_channels()"), "0");
  });
}

// Found by its name: in transaction mode it may have another server for each query.
async function sleeps(watcher, name) {
  return await value(watcher, "select count(*) from pg_stat_activity where application_name = $1 and wait_event = 'PgSleep'", [name]) === "1";
}

// A second Client sends the request for the first one. PostgreSQL signals a backend twice for it: a next query that did not wait until
// the request is through could be hit as well.
async function cancel_by_request(client, query) {
  const sender = new Client(place);
  const through = once(sender.connection, "end");
  sender.cancel(client, query);
  await through;
}

async function a_cancel_ends_one_query() {
  const name = newName();
  await session({}, (watcher) => session({ application_name: name }, async (client) => {
    const by_sql = () => watcher.query("select pg_cancel_backend(pid) from pg_stat_activity where application_name = $1", [name]);
    for (const cancel of [cancel_by_request, by_sql, cancel_by_request, by_sql]) {
      const query = new Query("select pg_sleep(50)");
      const cancelled = failsWith(new Promise((resolve, reject) => query.on("error", reject).on("end", resolve)), "57014");
      client.query(query);
      await waitUntil(() => sleeps(watcher, name));
      await Promise.all([cancelled, cancel(client, query)]);
      assert.equal(await value(client, "select current_setting('application_name')"), name);
    }
  }));
}

async function startup_settings_hold_for_their_session() {
  const shown = (client) => value(client, "select concat_ws('|', current_setting('application_name'), current_setting('search_path'),"
    + " current_setting('statement_timeout'), current_setting('lock_timeout'))");
  const before = await session({}, shown);
  const settings = { application_name: "shop", options: "-c search_path=pg_catalog", statement_timeout: 45000, lock_timeout: 7000 };
  for (let round = 0; round < 5; round++) {
    await session(settings, async (client) => {
      assert.equal(await shown(client), "shop|pg_catalog|45s|7s");
      await client.query("set statement_timeout = 0");
      await client.query("reset all");
      assert.equal(await shown(client), "shop|pg_catalog|45s|7s");
    });
    assert.equal(await session({}, shown), before);
  }
  await failsWith(connect({ options: "-c work_mem=much" }), "22023");
}

async function nothing_is_left_to_the_next() {
  const table = newName();
  const left = "select concat_ws('|', (select count(*) from pg_prepared_statements where name not like 'tidepool%'), (select count(*) from pg_cursors),"
    + " (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),"
    + ` to_regclass('pg_temp.${table}'), current_setting('search_path'), (select count(*) from ${table}))`;
  await session({}, (client) => client.query(`create table ${table} (id int)`));
  for (let round = 0; round < 10; round++) {
    await session({}, async (client) => {
      await client.query(`create temp table ${table} (id int)`);
      await client.query("select pg_advisory_lock(7)");
      await client.query({ name: "mine", text: "select 1" });
      await client.query("declare held cursor with hold for select 1");
      await client.query("set search_path = pg_catalog");
      await client.query("begin");
      await client.query(`insert into public.${table} values (1)`);
    });
    await session({}, async (next) => assert.equal(await value(next, left), '0|0|0|"$user", public|0'));
  }
}

async function a_password_over_tcp() {
  for (let round = 0; round < 3; round++) {
    await session(overTcp(), async (client) => assert.equal(await value(client, "select current_user"), place.user));
    await failsWith(connect(overTcp("wrong")), "28P01");
  }
}

// For programs that want a Pool: with maxUses 1 it closes each connection after one unit of work.
async function a_pool_that_keeps_no_connection() {
  const pool = new Pool({ ...place, max: 64, maxUses: 1 });
  await Promise.all(Array.from({ length: 200 }, async (_, number) => {
    const { rows } = await pool.query("select $1::int + 1 as next, current_setting('lock_timeout') as left, set_config('lock_timeout', '7s', false)", [number]);
    assert.equal(rows[0].next, number + 1);
    assert.equal(rows[0].left, "0");
  }));
  assert.equal(pool.idleCount, 0);
  await pool.end();
}

module.exports = {
  listen_and_notify, a_cancel_ends_one_query, startup_settings_hold_for_their_session, nothing_is_left_to_the_next, a_password_over_tcp,
  a_pool_that_keeps_no_connection,
};
