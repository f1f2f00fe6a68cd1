# What the scripts of servers for tests have in common. Source it: `. scripts/servers.sh`; it uses DATA, PID_FILE, LOG,
# READY_SECONDS_MAX and STOP_SECONDS_MAX of who does, and what that calls `fail` and `answers`.

# Says that somebody else has a port, with an exit code of its own: another port mends it.
taken() { # SERVER PORT VARIABLE
  echo "$1: something else listens on port $2; choose another $3" >&2
  exit 3
}

# True if somebody listens on a port of this machine.
is_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Whether it is the process that listens on the port: somebody else may have been quicker.
listens() { # PID PORT
  local inode
  inode=$(awk -v port="0100007F:$(printf %04X "$2")$" '$2 ~ port && $4 == "0A" { print $10; exit }' /proc/net/tcp /proc/net/tcp6)
  [ -n "$inode" ] && [ -n "$(find "/proc/$1/fd" -lname "socket:\[$inode\]" 2>/dev/null)" ]
}

# Waits until a server that was just started answers, by the `answers` of who asks: for as long as a start may take.
await_answers() { # WHAT
  local deadline=$((SECONDS + READY_SECONDS_MAX))
  until (answers) 2>/dev/null; do
    [ -d "/proc/$(cat "$PID_FILE")" ] || { tail -n 20 "$LOG" >&2; fail "the $1 ended while it started"; }
    [ "$SECONDS" -lt "$deadline" ] || { tail -n 20 "$LOG" >&2; fail "the $1 did not answer within $READY_SECONDS_MAX s"; }
    sleep 0.05
  done
}

# Waits until a process is gone, for as long as a stop may take.
await_end() { # PID
  local tenths
  for ((tenths = 0; tenths < STOP_SECONDS_MAX * 10; tenths++)); do
    [ -d "/proc/$1" ] || return 0
    sleep 0.1
  done
  return 1
}

# When the owner is gone, END ends the server and DATA is deleted. One for a folder, however often its server is started.
watch_owner() { # OWNER END
  (set -o noclobber && echo "$1" >"$DATA/owner") 2>/dev/null || return 0
  while [ -d "/proc/$1" ]; do sleep 0.5; done
  "$2"
  rm -rf "${DATA:?}"
}
