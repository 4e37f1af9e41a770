# Waits until nobody uses a server any more: until nobody has the file $users locked (shared).
seconds_of_grace=8

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

