import { vsmbOn } from "@uvm-shim/controller-vsmb/testing";
import type { Scenario } from "../scenario.ts";
import { sharingUsers } from "./devices.ts";

const controller = "controller-vsmb";
const directory = { hostPath: "C:\\data", kind: "directory", readOnly: true } as const;
const file = (name: string) => ({ hostPath: `C:\\data\\${name}`, kind: "file", readOnly: true }) as const;

function sharing(name: string, noDirectMap: boolean): Scenario {
  return {
    controller,
    name,
    begin(context) {
      const { vsmb, leftovers } = vsmbOn(context.script, { noDirectMap });
      const reserveAll = () => [
        vsmb.reserve(directory),
        vsmb.reserve({ ...directory, hostPath: "c:/DATA" }),
        vsmb.reserve({ ...directory, readOnly: false }),
        vsmb.reserve({ ...directory, takeBackupPrivilege: true }),
        vsmb.reserve(file("one")),
        vsmb.reserve(file("two")),
      ];
      return sharingUsers(context, vsmb, reserveAll, leftovers);
    },
  };
}

export const vsmbScenarios: readonly Scenario[] = [
  sharing("a directory and its files, of several users", true),
  sharing("the same, mapped directly", false),
  {
    controller,
    name: "a file more, and a map that failed is tried again",
    begin(context) {
      const { vm, vsmb, leftovers } = vsmbOn(context.script);
      let reservations: readonly string[] = [];
      return {
        async act() {
          reservations = await Promise.all([vsmb.reserve(file("one")), vsmb.reserve(file("two"))]);
          for (const id of reservations) {
            const path =
              (await context.callers.attempt((signal) => vsmb.mapToGuest(id, signal))) ?? (await vsmb.mapToGuest(id));
            if (!vm.canOpen(path)) throw new Error(`the guest cannot open ${path}`);
          }
        },
        async cleanUp() {
          for (const id of reservations) await vsmb.unmapFromGuest(id);
        },
        leftovers,
      };
    },
  },
  {
    controller,
    name: "a named pipe of two users",
    begin(context) {
      const { pipes, leftovers } = vsmbOn(context.script);
      const reserveAll = () => [pipes.reserve("\\\\.\\pipe\\a"), pipes.reserve("//./PIPE/A")];
      return sharingUsers(context, pipes, reserveAll, leftovers);
    },
  },
];
