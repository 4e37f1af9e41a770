# Starts a PostgreSQL, keeps it until whoever uses it is gone, then removes every trace of it. A process of its own:
# so this holds, too, when the tests are killed.
#
# keeper FOLDER PORT PROGRAMS USERS [COMMAND...]
#   FOLDER    an empty folder, which may be written by whoever the server runs as
#   PROGRAMS  where initdb and pg_ctl are
#   USERS     a file that everybody who uses the server has locked (shared); if empty, the only user is the one at the
#             other end of the standard input
#   COMMAND   runs a program as somebody else
folder=$1 port=$2 programs=$3 users=$4
shift 4
export LC_ALL=C

clean_up() {
    # A test may have paused it, and was killed before it let it go on.
    kill -CONT "$(head -n 1 data/postmaster.pid)" 2>/dev/null
    "$@" "$programs/pg_ctl" -D data -m immediate -w stop </dev/null
    cd / && rm -rf "$folder"
}

start() {
    "$@" "$programs/initdb" -D data -U postgres -A trust --locale=C --encoding=UTF8 --no-sync --no-instructions &&
        cat >>data/postgresql.conf <<END &&
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = ''
max_connections = 400
timezone = 'UTC'
log_timezone = 'UTC'
END
        "$@" "$programs/pg_ctl" -D data -l log -w start
}

cd "$folder" || exit
"$@" touch log
exec >>log 2>&1
trap 'clean_up "$@"' EXIT
trap exit HUP INT TERM
if start "$@" </dev/null; then touch ready; else touch failed; fi
if [ -n "$users" ]; then wait_for_users_to_leave; else cat >/dev/null; fi
