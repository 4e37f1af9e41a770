# Runs a local AWS until whoever uses it is gone, then removes every trace of it. A process of its own: so this holds,
# too, when the tests are killed.
#
# keeper FOLDER PORT VENV AUTHORIZATION USERS
#   FOLDER  an empty folder of its own
#   VENV    where ministack is installed
#   AUTHORIZATION  whether signatures and policies are enforced: true or false
#   USERS   a file that everybody who uses it has locked (shared)
folder=$1 port=$2 venv=$3 authorization=$4 users=$5

clean_up() {
    kill -KILL "$emulator" 2>/dev/null
    cd / && rm -rf "$folder"
}

cd "$folder" || exit
exec >>log 2>&1
trap clean_up EXIT
trap exit HUP INT TERM

# Without this each call of a function waits 40 ms for the acknowledgement of its first half.
mkdir python temporary
echo 'import socketserver; socketserver.StreamRequestHandler.disable_nagle_algorithm = True' >python/sitecustomize.py
# And a condition, which each item of a query is held against, is read once, not once for each: a third of its time.
cat >python/emulator.py <<'END'
from functools import lru_cache

from ministack.app import main
from ministack.services import dynamodb

tokenize = lru_cache(maxsize=1024)(dynamodb._tokenize)
dynamodb._tokenize = lambda expression: list(tokenize(expression))
dynamodb._condition_syntax_error = lru_cache(maxsize=1024)(dynamodb._condition_syntax_error)

# A scan gives the numbers of a sort key in the order of their digits, and goes on after a key in that order, too.
value_of = dynamodb._extract_key_val


def in_order(key):
    is_number = isinstance(key, str) and key.removeprefix("-").isdigit()
    return (0, int(key), "") if is_number else (1, 0, str(key))


def after_key(items, key, table):
    place = lambda it: [in_order(value_of(it.get(table[name], {}))) for name in ("pk_name", "sk_name")]
    return [item for item in items if place(item) > place(key)]


dynamodb.sorted = lambda them, key=None, **more: sorted(them, key=key or in_order, **more)
dynamodb._apply_exclusive_start_key_scan = after_key
main()
END
AUTH=$authorization GATEWAY_PORT=$port BIND_HOST=127.0.0.1 AWS_ENDPOINT_URL=http://127.0.0.1:$port LOG_LEVEL=WARNING \
    PYTHONPATH=$folder/python TMPDIR=$folder/temporary "$venv/bin/python" python/emulator.py </dev/null 9<&- &
emulator=$!
wait_for_users_to_leave
