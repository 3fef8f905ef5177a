// The peer graph (README.md) in a Java collector: java [collector flags] Collect NAME OBJECTS COLLECTIONS. One JSON line per collection.

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;

final class Collect {
    static final long GOLDEN = 0x9E3779B97F4A7C15L;
    static final int ROOTS = 1000;
    static final int SLOTS = 4;
    static final int EMPTY = -1;

    static final class Item {
        Item a, b, c, d;

        void set(int slot, Item target) {
            switch (slot) {
                case 0 -> a = target;
                case 1 -> b = target;
                case 2 -> c = target;
                default -> d = target;
            }
        }
    }

    static Item[] roots = new Item[ROOTS];
    static long edges, fingerprint;

    static long mix(long z) {
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }

    static boolean kept(long i) {
        return (mix(i + 0xD1B54A32D192ED03L) & 1) == 1;
    }

    static void references(long n, long i, int[] targets) {
        long state = mix(i);
        boolean closed = kept(i);
        for (int slot = 0; slot < SLOTS; slot++) {
            long d = mix(state += GOLDEN);
            targets[slot] = EMPTY;
            if ((d & 15) < 5) continue;
            boolean local = (d & 16) != 0;
            while (true) {
                long distance = 1 + ((d >>> 5) & 63);
                long target = !local ? ((d >>> 32) * n) >>> 32
                        : (d & 2048) != 0 ? (i + distance) % n
                        : (i + n - distance) % n;
                if (!closed || kept(target)) {
                    targets[slot] = (int) target;
                    break;
                }
                d = mix(state += GOLDEN);
            }
        }
    }

    static int root(long n, long r) {
        long i = r * n / ROOTS;
        while (!kept(i)) i = (i + 1) % n;
        return (int) i;
    }

    static boolean firstVisit(long[] seen, int i) {
        long bit = 1L << (i & 63);
        boolean first = (seen[i >> 6] & bit) == 0;
        seen[i >> 6] |= bit;
        return first;
    }

    static long countLive(int n) {
        long[] seen = new long[n / 64 + 1];
        int[] stack = new int[n];
        int[] targets = new int[SLOTS];
        int depth = 0;
        long live = 0;
        for (int r = 0; r < ROOTS; r++) {
            if (firstVisit(seen, root(n, r))) stack[depth++] = root(n, r);
        }
        for (; depth > 0; live++) {
            references(n, stack[--depth], targets);
            for (int target : targets) {
                if (target != EMPTY && firstVisit(seen, target)) stack[depth++] = target;
            }
        }
        return live;
    }

    static void build(int n) {
        Item[] table = new Item[n];
        int[] targets = new int[SLOTS];
        edges = fingerprint = 0;
        for (int i = 0; i < n; i++) table[i] = new Item();
        for (int i = 0; i < n; i++) {
            references(n, i, targets);
            for (int slot = 0; slot < SLOTS; slot++) {
                if (targets[slot] == EMPTY) continue;
                table[i].set(slot, table[targets[slot]]);
                edges++;
                fingerprint += mix(((long) i << 32 | targets[slot]) + slot * GOLDEN);
            }
        }
        for (int r = 0; r < ROOTS; r++) roots[r] = table[root(n, r)];
    }

    public static void main(String[] arguments) {
        String name = arguments[0];
        int n = Integer.parseInt(arguments[1]);
        int collections = Integer.parseInt(arguments[2]);
        if (n < ROOTS || collections < 1) {
            System.err.println("usage: Collect NAME OBJECTS (from 1000) COLLECTIONS");
            System.exit(2);
        }
        var system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long live = countLive(n);
        for (int round = 0; round < collections; round++) {
            roots = new Item[ROOTS];
            System.gc();
            build(n);
            long cpu = system.getProcessCpuTime();
            long wall = System.nanoTime();
            System.gc();
            wall = System.nanoTime() - wall;
            cpu = system.getProcessCpuTime() - cpu;
            long used = Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
            System.out.printf("{\"peer\":\"%s\",\"objects\":%d,\"edges\":%d,\"fingerprint\":\"%016x\",\"live\":%d,\"survivors\":%d,"
                    + "\"wall_ns\":%d,\"cpu_ns\":%d,\"cpu_ns_per_live\":%.1f}%n",
                    name, n, edges, fingerprint, live, used / 32, wall, cpu, (double) cpu / live);
        }
    }
}
