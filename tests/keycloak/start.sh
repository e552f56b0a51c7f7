#!/bin/sh
# start.sh DIST RUN PORT [CA]
# Becomes a Keycloak on http://127.0.0.1:PORT. DIST is what `cargo xtask keycloak` prepared and stays as it is; everything that is written
# goes to RUN, an empty folder but for RUN/data/import, whose realms are imported. CA is a PEM file of further certificates that Keycloak
# shall trust when it calls others, as it does for back-channel logout; it reads it once, here.
set -eu
dist=$1 run=$2 port=$3 ca=${4-}
for part in bin conf lib providers themes; do
    ln -s "$dist/keycloak/$part" "$run/$part"
done
mkdir -p "$run/data/import"
# A database in which the master realm is made already saves half of the start.
if [ -d "$dist/seed" ]; then
    cp -r "$dist/seed" "$run/data/h2"
fi
# What kc.sh would start, with the home elsewhere and a JVM that is quick to be there.
exec "${JAVA:-java}" \
    -Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory \
    -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:MaxMetaspaceSize=256m -Xms64m -Xmx512m -XX:+ExitOnOutOfMemoryError \
    --add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.util.concurrent=ALL-UNNAMED \
    --add-opens=java.base/java.security=ALL-UNNAMED \
    -Dfile.encoding=UTF-8 -Duser.language=en -Duser.country=US -Djava.io.tmpdir="$run" \
    -Dkc.home.dir="$run" -Djboss.server.config.dir="$run/conf" \
    -Djava.util.logging.manager=org.jboss.logmanager.LogManager -Dpicocli.disable.closures=true \
    -cp "$run/lib/quarkus-run.jar" io.quarkus.bootstrap.runner.QuarkusEntryPoint \
    start --optimized --import-realm --cache=local --http-enabled=true --http-host=127.0.0.1 --http-port="$port" \
    --hostname="http://127.0.0.1:$port" ${ca:+--truststore-paths="$ca"}
