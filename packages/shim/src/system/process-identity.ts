import { readFileSync } from "node:fs";

/**
 * When a process started, in the kernel's own ticks (field 22 of /proc/<pid>/stat); undefined when it is gone or
 * a zombie. Together with the pid it names one process for ever, where a pid alone may have been given to another.
 */
export function processStartTime(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The command's name is in parentheses and may itself hold blanks and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, threads] = [fields[0], Number(fields[17])];
  // While other threads of a killed process are still ending, its sockets and files are still open.
  if (state === "X" || (state === "Z" && threads <= 1)) return undefined;
  return fields[19];
}
