import { vpciOn } from "@uvm-shim/controller-vpci/testing";
import type { Scenario } from "../scenario.ts";
import { sharingUsers } from "./devices.ts";

export const vpciScenarios: readonly Scenario[] = [
  {
    controller: "controller-vpci",
    name: "a function of two users, and another of the same device",
    begin(context) {
      const { vm, vpci } = vpciOn(context.script);
      const deviceInstancePath = "PCIP\\A";
      const reserveAll = () =>
        [0, 0, 1].map((virtualFunction) => vpci.reserve({ deviceInstancePath, virtualFunction }));
      return sharingUsers(context, vpci, reserveAll, () => [
        ...[...vm.assigned.keys()].map((guid) => `assigned ${guid}`),
        ...vpci.devices.map(({ deviceInstancePath: path }) => `tracked ${path}`),
      ]);
    },
  },
];
