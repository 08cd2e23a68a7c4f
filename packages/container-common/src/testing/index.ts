export { FakeGuestProcess, FakeProcess, type ParametersOf, type StdioCount } from "./process.ts";
export { FakeReservations } from "./reservations.ts";
