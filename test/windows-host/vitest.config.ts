import { join } from "node:path";
import { defineConfig } from "vitest/config";

/** What runs under Wine: a part of `npm run e2e:windows`, for which Wine is fetched when it is missing. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, "..", ".."),
    include: ["test/windows-host/**/*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 600_000,
  },
});
