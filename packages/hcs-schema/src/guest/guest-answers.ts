/** A Linux guest's answers about a container, except for its measurements (cgroup-metrics.ts). */
import { answerObject, integer, list, optional } from "../check.ts";

export interface LinuxProcessList {
  readonly ProcessList?: readonly LinuxProcessDetails[];
}

/** The reference guest returns nothing else about a process. */
export interface LinuxProcessDetails {
  readonly ProcessId: number;
}

export const checkLinuxProcessList = answerObject<LinuxProcessList>({
  ProcessList: optional(list(answerObject<LinuxProcessDetails>({ ProcessId: integer(1, 0x7fffffff) }))),
});
