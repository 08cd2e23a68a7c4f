import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** What needs a Windows machine with Hyper-V; see docs/windows.md. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, "..", ".."),
    include: ["test/windows-host/suites/real-host.suite.ts"],
    testTimeout: 120_000,
    hookTimeout: 600_000,
  },
});
