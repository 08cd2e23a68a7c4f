import { describeComputeHostContract } from "../testing/contract.ts";
import { allSpellings } from "../testing/respelling.ts";
import type { OperationKnobs } from "../testing/windows/fake-operations.ts";
import { FakeWindows } from "../testing/windows/fake-windows.ts";

const on = async (knobs: Partial<OperationKnobs>): Promise<FakeWindows> => {
  const windows = new FakeWindows();
  Object.assign(windows.core.operations.knobs, knobs);
  return windows;
};

describeComputeHostContract("Windows driver", () => on({}));
describeComputeHostContract("Windows driver, callbacks before the calls return", () => on({ completion: "early" }));
describeComputeHostContract("Windows driver, callbacks too often", () => on({ tooOften: true, ntstatus: true }));
for (const spelling of allSpellings) {
  describeComputeHostContract(`Windows driver, answers in ${spelling} case`, async () => {
    const windows = await on({});
    windows.machine.spelling = spelling;
    return windows;
  });
}
