# Runs a local AWS until whoever uses it is gone, then removes every trace of it. A process of its own: so this holds,
# too, when the tests are killed.
#
# keeper FOLDER PORT VENV USERS
#   FOLDER  an empty folder of its own
#   VENV    where ministack is installed
#   USERS   a file that everybody who uses it has locked (shared)
folder=$1 port=$2 venv=$3 users=$4
seconds_of_grace=8

clean_up() {
    kill -KILL "$emulator" 2>/dev/null
    cd / && rm -rf "$folder"
}

# Takes the exclusive lock of file descriptor 9, if nobody has another (macOS comes without flock, but with perl).
is_alone() {
    if command -v flock >/dev/null; then
        flock -xn 9
    else
        perl -e 'open(my $users, "<&=", 9) or exit 1; exit !flock($users, 2 | 4)'
    fi
}

wait_for_users_to_leave() {
    idle=0
    while [ "$idle" -lt "$seconds_of_grace" ]; do
        # Opened anew: which gives back the lock that the last round may have got.
        exec 9<"$users"
        sleep 1
        if is_alone; then idle=$((idle + 1)); else idle=0; fi
    done
    # Still locked: who comes now waits until everything is removed, and starts another.
}

cd "$folder" || exit
exec >>log 2>&1
trap clean_up EXIT
trap exit HUP INT TERM

# Without this each call of a function waits 40 ms for the acknowledgement of its first half.
mkdir python temporary
echo 'import socketserver; socketserver.StreamRequestHandler.disable_nagle_algorithm = True' >python/sitecustomize.py
GATEWAY_PORT=$port BIND_HOST=127.0.0.1 AWS_ENDPOINT_URL=http://127.0.0.1:$port LOG_LEVEL=WARNING \
    PYTHONPATH=$folder/python TMPDIR=$folder/temporary "$venv/bin/ministack" </dev/null 9<&- &
emulator=$!
wait_for_users_to_leave
