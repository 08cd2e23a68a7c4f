import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["packages/*/src/**/*.test.ts", "apps/*/src/**/*.test.ts", "test/src/**/*.test.ts", "tools/**/*.test.ts"],
    exclude: ["**/node_modules/**", "**/dist/**", "test/src/e2e/**"],
    globalSetup: ["packages/test-support/src/test-folder.ts"],
    testTimeout: 20_000,
  },
});
