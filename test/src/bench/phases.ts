/** What each phase of one pod with one container takes, and what it takes with the shim of another commit. */
import { PHASES, type Phase, Pod, type PodOptions, readOnlyRoot } from "../shim-client/pod.ts";
import { interleave, median, medianRatio } from "./statistics.ts";

export type PhaseDurations = { readonly [phase in Phase]: number };

/** What the same phases took with the shim of another commit. */
export interface PhaseComparison {
  readonly theirs: PhaseDurations;
  /** The medians of the pairs' ratios. */
  readonly ratios: PhaseDurations;
  readonly totalRatio: number;
}

/** The phases of one pod whose container runs `true`, spoken to through the Sandbox API. */
export async function phasesOnce(options: Omit<PodOptions, "id" | "observer">, image: string): Promise<PhaseDurations> {
  const durations = new Map<Phase, number>();
  const observer = { begins: () => undefined, ended: (phase: Phase, ms: number) => void durations.set(phase, ms) };
  const pod = await Pod.run({ ...options, id: "pod", observer });
  try {
    await pod.runContainer({ id: "one", args: ["true"], rootfs: readOnlyRoot(image) });
    await pod.remove();
  } finally {
    await pod.abandon();
  }
  return eachPhase((phase) => {
    const duration = durations.get(phase);
    if (duration === undefined) throw new Error(`the pod did not go through the phase "${phase}"`);
    return duration;
  });
}

function eachPhase(of: (phase: Phase) => number): PhaseDurations {
  return Object.fromEntries(PHASES.map((phase) => [phase, of(phase)])) as PhaseDurations;
}

function sumOf(phases: PhaseDurations): number {
  return PHASES.reduce((sum, phase) => sum + phases[phase], 0);
}

export interface PhaseResults {
  readonly phases: PhaseDurations;
  readonly against?: PhaseComparison;
}

/** The medians of as many pods; with another shim, of as many pairs. */
export async function measurePhases(
  once: (shim: string) => Promise<PhaseDurations>,
  { shim, otherShim }: { readonly shim: string; readonly otherShim: string | undefined },
  pairs: number,
): Promise<PhaseResults> {
  if (otherShim === undefined) {
    const samples: PhaseDurations[] = [];
    for (let sample = 0; sample < pairs; sample += 1) samples.push(await once(shim));
    return { phases: eachPhase((phase) => median(samples.map((durations) => durations[phase]))) };
  }
  await once(otherShim);
  const { ours, peers } = await interleave(
    pairs,
    () => once(shim),
    () => once(otherShim),
  );
  const of = (samples: readonly PhaseDurations[], phase: Phase) => samples.map((durations) => durations[phase]);
  return {
    phases: eachPhase((phase) => median(of(ours, phase))),
    against: {
      theirs: eachPhase((phase) => median(of(peers, phase))),
      ratios: eachPhase((phase) => medianRatio(of(ours, phase), of(peers, phase))),
      totalRatio: medianRatio(ours.map(sumOf), peers.map(sumOf)),
    },
  };
}

export function showPhases({ phases, against }: PhaseResults, pairs: number, print: (line: string) => void): void {
  print("");
  print(`phases of one pod with one container, through the Sandbox API, medians of ${pairs}`);
  print(
    "(ctr run goes the classic way: its Create contains create sandbox, boot and create, its Delete contains stop)",
  );
  print("");
  const milliseconds = (duration: number): string => `${duration.toFixed(1)} ms`.padStart(12);
  const total = sumOf(phases);
  if (against !== undefined)
    print(`${"".padEnd(26)}${"this".padStart(12)}${"share".padStart(12)}${"other".padStart(12)}`);
  for (const phase of PHASES) {
    const share = `${((phases[phase] / total) * 100).toFixed(0)} %`.padStart(12);
    const other =
      against === undefined
        ? ""
        : `${milliseconds(against.theirs[phase])}${`${against.ratios[phase].toFixed(2)}x`.padStart(9)}`;
    print(`${phase.padEnd(26)}${milliseconds(phases[phase])}${share}${other}`);
  }
  const other =
    against === undefined
      ? ""
      : `${"".padStart(12)}${milliseconds(sumOf(against.theirs))}${`${against.totalRatio.toFixed(2)}x`.padStart(9)}`;
  print(`${"sum".padEnd(26)}${milliseconds(total)}${other}`);
}
