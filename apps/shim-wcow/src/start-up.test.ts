import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const main = fileURLToPath(new URL("main.ts", import.meta.url));

it.each([["start"], ["delete"], []])("refuses %s as Unimplemented, with a message and no stack", (...action) => {
  const shim = spawnSync(process.execPath, [main, "-namespace", "ns", "-id", "c1", ...action], { encoding: "utf8" });
  expect({ status: shim.status, stdout: shim.stdout, stderr: shim.stderr }).toEqual({
    status: 1,
    stdout: "",
    stderr:
      "containerd-shim-wcow-v2: Unimplemented: Windows containers are not supported yet: " +
      "containerd-shim-wcow-v2 answers -v and -info only\n",
  });
});
