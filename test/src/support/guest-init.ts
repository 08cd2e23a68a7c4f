import { readdirSync, readFileSync } from "node:fs";
import { bootVariable } from "@uvm-shim/host-protocol/guest";

/** The first process of the one VM's guest, by its pid on this machine. */
export function guestInit(): string {
  const init = readdirSync("/proc").find((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    const status = readIfPresent(`/proc/${pid}/status`);
    const ids = /^NSpid:\s+(.*)$/m.exec(status)?.[1]?.split(/\s+/) ?? [];
    return ids.length > 1 && ids.at(-1) === "1" && readIfPresent(`/proc/${pid}/environ`).includes(bootVariable);
  });
  if (init === undefined) throw new Error("no guest runs on this machine");
  return init;
}

// Processes end while they are looked at.
function readIfPresent(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
