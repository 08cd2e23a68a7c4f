import { mustRun, searchPath } from "@uvm-shim/test-support/command";

/** Compiles C for Windows with mingw-w64. */
export async function compileForWindows(
  sources: readonly string[],
  output: string,
  options: readonly string[] = [],
): Promise<void> {
  const warnings = ["-std=c17", "-O2", "-Wall", "-Wextra", "-Werror"];
  await mustRun("x86_64-w64-mingw32-gcc", [...warnings, "-o", output, ...sources, ...options], {
    environment: { ...process.env, PATH: searchPath() },
  });
}
