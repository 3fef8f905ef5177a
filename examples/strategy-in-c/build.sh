#!/bin/sh
# Builds strategy-in-c.wasm. Needs clang and wasi-libc (Debian: apt-get install clang lld wasi-libc) and the Rust toolchain of this repository, whose
# linker for wasm32-wasip2 turns the module into a component. The bindings in bindings/ are generated: see README.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/strategy-in-c.wasm}
cc=${CC:-clang}

need() { command -v "$1" >/dev/null 2>&1 || { echo "$1 is missing: $2" >&2; exit 69; }; }
need "$cc" "apt-get install clang"
need wasm-ld "apt-get install lld"
need rustc "install rustup, then rustup target add wasm32-wasip2"
[ -e /usr/include/wasm32-wasi/stdlib.h ] || { echo "wasi-libc is missing: apt-get install wasi-libc" >&2; exit 69; }
host=$(rustc -vV | sed -n 's/^host: //p')
encoder=$(rustc --print sysroot)/lib/rustlib/$host/bin/wasm-component-ld
[ -x "$encoder" ] || { echo "wasm-component-ld is missing from the Rust toolchain: rustup target add wasm32-wasip2" >&2; exit 69; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for source in "$here/strategy.c" "$here/bindings/windowed_collector.c"; do
    "$cc" --target=wasm32-wasi -O3 -Wall -Wextra -Werror -Wno-unused-parameter -I "$here/bindings" -c "$source" \
        -o "$work/$(basename "$source" .c).o"
done
"$encoder" --wasm-ld-path "$(command -v wasm-ld)" -o "$out" --no-entry --gc-sections --strip-all \
    -L/usr/lib/wasm32-wasi "$work/strategy.o" "$work/windowed_collector.o" \
    "$here/bindings/windowed_collector_component_type.o" -lc
echo "$out: $(wc -c <"$out") bytes"
