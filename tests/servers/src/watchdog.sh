# Keeps one server and ends it, with all its processes and its directory, when whoever started it is gone.
# Arguments: the signal that ends the server, the directory to remove ('' for none), the log, and the server's command line.
# Says the server's process id on stdout, then waits for stdin: the line "keep" leaves the directory; the end of stdin, which
# comes even when the test process was killed with -9, removes it.
signal=$1 directory=$2 log=$3
shift 3

"$@" </dev/null >>"$log" 2>&1 &
server=$!
echo "$server"
exec >/dev/null

running() { grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status"; }
family() {
    echo "$server"
    grep -ls "^PPid:[[:space:]]*$server\$" /proc/[0-9]*/status | cut -d/ -f3
}

word=''
read -r word

if running "$server"; then
    members=$(family)
    # A stopped server could not hear the parting signal.
    kill -s CONT $members 2>/dev/null
    kill -s "$signal" "$server" 2>/dev/null
    rounds=0
    while running "$server" && [ "$rounds" -lt 500 ]; do
        sleep 0.01
        rounds=$((rounds + 1))
    done
    kill -s KILL $members 2>/dev/null
fi
wait "$server" 2>/dev/null
cd /
if [ "$word" != keep ] && [ -n "$directory" ]; then
    rm -rf "$directory"
fi
