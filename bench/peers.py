"""Other poolers: their settings files, and the commands that start them. None of them is built or installed by what is here.

Each function writes what its program reads into `folder`, where the program is to listen as PostgreSQL would at `port`, and returns the
command. Odyssey and pg_doorman are compared in transaction mode only, with everybody trusted.
"""

import os
import re
import subprocess

from terms import MAX_CLIENTS, MAX_PREPARED_STATEMENTS, SECRET

PREPARES = (1, 21)                          # the first PgBouncer that knows prepared statements in transaction mode


def first_line(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    return (done.stdout.splitlines() or [""])[0]


def pgbouncer_version(program):
    """(1, 18): none, if there is no such program."""
    try:
        found = re.search(r"(\d+)\.(\d+)", first_line(program, "--version"))
    except OSError:
        return None
    return found and (int(found[1]), int(found[2]))


PGBOUNCER = """\
[databases]
bench = host={server.folder} port={server.port} dbname=bench user=app
[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
unix_socket_mode = 0777
listen_port = {port}
auth_type = {setup.auth}
auth_file = {folder}/users
pool_mode = {setup.mode}
default_pool_size = {setup.pool_size}
max_client_conn = {max_clients}
server_reset_query = {reset}
log_connections = 0
log_disconnections = 0
log_stats = 0
"""


def pgbouncer(folder, port, server, setup, program):
    text = PGBOUNCER.format(folder=folder, port=port, server=server, setup=setup, max_clients=MAX_CLIENTS,
                            reset="DISCARD ALL" if setup.reset == "discard_all" else "")
    if setup.mode == "transaction" and pgbouncer_version(program) >= PREPARES:
        text += f"max_prepared_statements = {MAX_PREPARED_STATEMENTS}\n"
    (folder / "pgbouncer.ini").write_text(text)
    (folder / "users").write_text(f'"app" "{SECRET}"\n')
    # It refuses to run as root; and another user's process has to be told again to end with us.
    as_user = ["setpriv", "--pdeathsig", "KILL", "--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.geteuid() == 0 else []
    return [*as_user, program, folder / "pgbouncer.ini"]


# It has no setting for where a server's Unix socket is: it is looked for beside its own.
ODYSSEY = """\
daemonize no
unix_socket_dir "{folder}"
unix_socket_mode "0777"
locks_dir "{folder}"
log_format "%p %t %l [%i %s] (%c) %m\\n"
log_to_stdout yes
log_config no
log_session no
log_stats no
workers {setup.workers}
resolvers 1
listen {{
    port {port}
    backlog 4096
    tls "disable"
}}
storage "server" {{
    type "remote"
    port {server.port}
    tls "disable"
}}
database "bench" {{
    user "app" {{
        authentication "none"
        storage "server"
        storage_db "bench"
        storage_user "app"
        pool "transaction"
        pool_size {setup.pool_size}
        pool_timeout 0
        pool_discard no
        pool_smart_discard no
        pool_cancel yes
        pool_rollback yes
        pool_reserve_prepared_statement yes
        client_max {max_clients}
    }}
}}
"""


def odyssey(folder, port, server, setup, program):
    (folder / server.socket_path.name).symlink_to(server.socket_path)
    (folder / "odyssey.conf").write_text(ODYSSEY.format(folder=folder, port=port, server=server, setup=setup, max_clients=MAX_CLIENTS))
    return [program, folder / "odyssey.conf"]


PG_DOORMAN = """\
general:
  host: "127.0.0.1"
  port: {port}
  unix_socket_dir: "{folder}"
  unix_socket_mode: "0777"
  max_connections: {max_clients}
  query_wait_timeout: "60s"
  worker_threads: {setup.workers}
  log_client_connections: false
  log_client_disconnections: false
  prepared_statements: true
  prepared_statements_cache_size: {max_prepared_statements}
  admin_username: "admin"
  admin_password: "admin"
  pg_hba: |
    local all all trust
pools:
  bench:
    server_host: "{server.folder}"
    server_port: {server.port}
    server_database: "bench"
    pool_mode: "transaction"
    users:
      - username: "app"
        password: ""
        server_username: "app"
        server_password: ""
        pool_size: {setup.pool_size}
"""


def pg_doorman(folder, port, server, setup, program):
    (folder / "pg_doorman.yaml").write_text(PG_DOORMAN.format(folder=folder, port=port, server=server, setup=setup, max_clients=MAX_CLIENTS,
                                                              max_prepared_statements=MAX_PREPARED_STATEMENTS))
    return [program, "--log-level", "error", folder / "pg_doorman.yaml"]


# Debian's is started as PgBouncer is.
COMMANDS = {"pgbouncer": pgbouncer, "debian": pgbouncer, "odyssey": odyssey, "pg_doorman": pg_doorman}
