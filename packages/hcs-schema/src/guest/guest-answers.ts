/** A Linux guest's answers about a container, except for its measurements (cgroup-metrics.ts). */
import { answerObject, integer, list, optional } from "../check.ts";

/** Answer of a Linux guest that was asked for a container's processes. The list is absent when there are none. */
export interface LinuxProcessList {
  readonly ProcessList?: readonly LinuxProcessDetails[];
}

/** The reference guest returns nothing else about a process. */
export interface LinuxProcessDetails {
  readonly ProcessId: number;
}

/** That answer, copied field by field: process ids are positive and fit into 31 bits, as Linux' do. */
export const checkLinuxProcessList = answerObject<LinuxProcessList>({
  ProcessList: optional(list(answerObject<LinuxProcessDetails>({ ProcessId: integer(1, 0x7fffffff) }))),
});
