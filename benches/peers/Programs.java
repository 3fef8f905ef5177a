import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;

/** GCBench and binary-trees (README.md) in the collectors of the JVM: Programs WORK DEPTH. One JSON line. */
public final class Programs {
    private static final int SHORTEST = 4;
    private static final int STRETCH = 2;
    private static final int ELEMENTS = 500_000;
    private static final int LOOKED_AT = 1000;

    /** GCBench's node carries two integers that nobody reads; that of binary-trees does not. */
    private static final class Fat {
        Fat left;
        Fat right;
        int i;
        int j;

        int count() {
            return left == null ? 1 : 1 + left.count() + right.count();
        }
    }

    private record Thin(Thin left, Thin right) {
        int count() {
            return left == null ? 1 : 1 + left.count() + right.count();
        }
    }

    private static int nodes(int depth) {
        return (2 << depth) - 1;
    }

    private static void must(boolean right, String what) {
        if (!right) {
            throw new IllegalStateException(what + " came out wrong");
        }
    }

    private static Fat fatBottomUp(int depth) {
        Fat left = depth == 0 ? null : fatBottomUp(depth - 1);
        Fat right = depth == 0 ? null : fatBottomUp(depth - 1);
        Fat node = new Fat();
        node.left = left;
        node.right = right;
        return node;
    }

    private static void populate(int depth, Fat node) {
        if (depth == 0) {
            return;
        }
        node.left = new Fat();
        node.right = new Fat();
        populate(depth - 1, node.left);
        populate(depth - 1, node.right);
    }

    private static Fat fatTopDown(int depth) {
        Fat root = new Fat();
        populate(depth, root);
        return root;
    }

    private static List<String> gcbench(int depth) {
        int stretched = depth + STRETCH;
        must(fatBottomUp(stretched).count() == nodes(stretched), "the stretch tree");
        Fat longLived = fatTopDown(depth);
        double[] array = new double[ELEMENTS];
        for (int i = 0; i < ELEMENTS / 2; i++) {
            array[i] = 1.0 / i;
        }
        for (int d = SHORTEST; d <= depth; d += 2) {
            int trees = 2 * nodes(stretched) / nodes(d);
            for (IntFunction<Fat> make : List.<IntFunction<Fat>>of(Programs::fatTopDown, Programs::fatBottomUp)) {
                for (int i = 0; i < trees; i++) {
                    Fat tree = make.apply(d);
                    must(i > 0 || tree.count() == nodes(d), "a short-lived tree");
                }
            }
        }
        must(array[LOOKED_AT] == 1.0 / LOOKED_AT, "the array");
        return List.of("long lived tree of depth " + depth + ": " + longLived.count() + " nodes",
                "long lived array of " + ELEMENTS + ": element " + LOOKED_AT + " is 1/" + LOOKED_AT);
    }

    private static Thin thinBottomUp(int depth) {
        return depth == 0 ? new Thin(null, null) : new Thin(thinBottomUp(depth - 1), thinBottomUp(depth - 1));
    }

    private static List<String> binaryTrees(int depth) {
        List<String> lines = new ArrayList<>();
        lines.add("stretch tree of depth " + (depth + 1) + " check: " + thinBottomUp(depth + 1).count());
        Thin longLived = thinBottomUp(depth);
        for (int d = SHORTEST; d <= depth; d += 2) {
            int trees = 1 << (depth - d + SHORTEST);
            long sum = 0;
            for (int i = 0; i < trees; i++) {
                sum += thinBottomUp(d).count();
            }
            lines.add(trees + " trees of depth " + d + " check: " + sum);
        }
        lines.add("long lived tree of depth " + depth + " check: " + longLived.count());
        return lines;
    }

    public static void main(String[] args) {
        int depth = args.length == 2 ? Integer.parseInt(args[1]) : 0;
        if (depth < 6 || depth > 25 || !List.of("gcbench", "binary-trees").contains(args[0])) {
            System.err.println("usage: Programs gcbench|binary-trees DEPTH (6 to 25)");
            System.exit(2);
        }
        OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long wall = System.nanoTime();
        long cpu = system.getProcessCpuTime();
        List<String> checks = args[0].equals("gcbench") ? gcbench(depth) : binaryTrees(depth);
        wall = System.nanoTime() - wall;
        cpu = system.getProcessCpuTime() - cpu;
        System.out.printf("{\"work\":\"%s\",\"checks\":[\"%s\"],\"wall_ns\":%d,\"cpu_ns\":%d}%n",
                args[0], String.join("\",\"", checks), wall, cpu);
    }
}
