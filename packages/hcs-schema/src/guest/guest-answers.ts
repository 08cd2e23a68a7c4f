/** What a Linux guest answers of a container, beside what it measures of it (cgroup-metrics.ts). */
import { answerObject, integer, list, optional } from "../check.ts";

export interface LinuxProcessList {
  readonly ProcessList?: readonly LinuxProcessDetails[];
}

/** The reference's guest tells no more of a process. */
export interface LinuxProcessDetails {
  readonly ProcessId: number;
}

export const checkLinuxProcessList = answerObject<LinuxProcessList>({
  ProcessList: optional(list(answerObject<LinuxProcessDetails>({ ProcessId: integer(1, 0x7fffffff) }))),
});
