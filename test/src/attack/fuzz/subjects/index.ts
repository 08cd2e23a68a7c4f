import type { Subject } from "../subject.ts";
import { bridgeSubjects } from "./bridge.ts";
import { containerdSubjects } from "./containerd.ts";
import { hostSubjects } from "./host.ts";
import { settingSubjects } from "./settings.ts";

export const subjects: readonly Subject[] = [
  ...bridgeSubjects,
  ...containerdSubjects,
  ...hostSubjects,
  ...settingSubjects,
];

export function findSubject(name: string): Subject {
  const subject = subjects.find((one) => one.name === name);
  if (subject === undefined) {
    throw new Error(
      `unknown decoder ${JSON.stringify(name)}: expected one of ${subjects.map((one) => one.name).join(", ")}`,
    );
  }
  return subject;
}
