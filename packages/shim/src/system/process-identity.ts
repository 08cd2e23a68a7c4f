import { readFileSync } from "node:fs";

/**
 * The start time of a process in kernel ticks (field 22 of /proc/<pid>/stat); undefined when it is gone or a zombie. Pid
 * and start time identify a process; a pid alone may be reused.
 */
export function processStartTime(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The command name, in parentheses, may itself contain blanks and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, threads] = [fields[0], Number(fields[17])];
  // While other threads of a killed process are exiting, its sockets and files are still open.
  if (state === "X" || (state === "Z" && threads <= 1)) return undefined;
  return fields[19];
}
