export { planOf, runPlan } from '@melange/conformance/simulation';
