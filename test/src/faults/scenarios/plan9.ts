import { plan9On } from "@uvm-shim/controller-plan9/testing";
import type { Scenario } from "../scenario.ts";
import { sharingUsers } from "./devices.ts";

const controller = "controller-plan9";

export const plan9Scenarios: readonly Scenario[] = [
  {
    controller,
    name: "a directory of two users, read-only, writable and restricted",
    begin(context) {
      const { vm, plan9 } = plan9On(context.script);
      const hostPath = "/data";
      const reserveAll = () => [
        plan9.reserve({ hostPath, readOnly: true }),
        plan9.reserve({ hostPath, readOnly: true }),
        plan9.reserve({ hostPath, readOnly: false }),
        plan9.reserve({ hostPath, readOnly: true, allowedFiles: ["hosts"] }),
      ];
      return sharingUsers(context, plan9, reserveAll, () => [
        ...vm.leftovers(),
        ...plan9.shares.map(({ name }) => `tracked share ${name}`),
      ]);
    },
  },
  {
    controller,
    name: "a map that failed is tried again",
    begin(context) {
      const { vm, plan9 } = plan9On(context.script);
      let reservation = "";
      return {
        async act() {
          reservation = await plan9.reserve({ hostPath: "/data", readOnly: true });
          const path =
            (await context.callers.attempt((signal) => plan9.mapToGuest(reservation, signal))) ??
            (await plan9.mapToGuest(reservation));
          if (!vm.mounted.has(path)) throw new Error(`nothing is mounted at ${path}`);
        },
        cleanUp: () => plan9.unmapFromGuest(reservation),
        leftovers: () => [...vm.leftovers(), ...plan9.shares.map(({ name }) => `tracked share ${name}`)],
      };
    },
  },
];
