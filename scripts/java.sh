# Which Java runs the servers of tests. Source it: `. scripts/java.sh`; it uses the `fail` of who does.

# Prints the oldest Java of 17 or newer: the one that Debian's package brings, where there are several.
find_java() { # PART of scripts/setup.sh that brings one
  local java version best="" best_version=1000
  for java in /usr/lib/jvm/*/bin/java "$(command -v java || true)"; do
    [ -x "$java" ] || continue
    version=$("$java" -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p')
    if [ "${version:-0}" -ge 17 ] && [ "$version" -lt "$best_version" ]; then best=$java best_version=$version; fi
  done
  [ -n "$best" ] || fail "there is no Java of version 17 or newer; run 'scripts/setup.sh $1'"
  echo "$best"
}
