// Generated from kernels/ssm/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'lZPNahRBEMe7e2Z3Zqd7dmcTN8ktNXMRcvMg+J0sAfEDRMSzJIRFnewHGAlICBvw5DXk5BsYIVcVvOgD+AQeFIy+hI3+a2aTndVZwR1qu7r/VT1T1b8W' +
  '61s9KYSQZ501Myz8xFpQnHgnnmpIp9PfrvY6vcGTZ0pIx3WEVN55N9wY9LcH3e3O/cFmpy9UbWtjvZ/7wrC/+mi93+90t4Q8zQ4+G+e9ctyd6tDZpaCt' +
  'nsYt8sjvxU1nBU50y12hiJo9anUTnyppPENV8tN4liIEY8lJbU2JuE4Ky0vw5sgdefNtEQfYpkYBbzNHEqvJwoGdjRvWoOiJX2wQ7iPcp9ZNhAvskpyx' +
  'whVUt98lNSDMpDzHzH6TcUhnKLQauqEQ4mxRNOS3ozT2jdSaNCLw2NCvBdqE9QYa5riVqofIxNhF7GAX5T7N08LB/gUl8O5WGguSbTeNJWkeNLoj0zjI' +
  'NozYjdjVv1ynuiN31RAvRPeaJMmDg0ahFEkzXIriuiOUjcy8CRE3wZQ0IUATvKz1Tc7U5JB3UldSt+by4dvlonG52GXldtG4rLBk+VjGDdTmpYmfbWke' +
  'Pr57sWhUJz6ZvXPLReN3HOMArHm+9+Bd0XIlaWRf8Wn1zaWi4SuQw4r/wr9StLHy4dXS1aKNlcPDpWtFGyto03LRMiXXGBNMOWYP2tg4Bh0ZIr5o9ki2' +
  '5+3rLBHNFeLoY9HsdXuHJUOV8Snk6Pkj9AKgV50UAwAA9LyMFLDPTzl6AaOHP6DnggqKcvpG2CkeFLk8uFTjoYbTazKZDg9OBuDLinJ3nCHigF8IdDSF' +
  'jA4uNcJ09mWVv0nTsQfUXMS7VGnLzRtI8eCH3cSQSkeJINic+KPyEMT0u1l5Hq49ZyPtNEVMxAO1L9J+lUntP+D1yuEN0Gqdkl8CLvo8FVwoU8ANpoKb' +
  'K2Xg5koZuLlSBm6ulIHLbOTgBlPBRTf+BS4aWwZu3sTJ3bh1f4JgV+29kkgG1P7gF2Sca0ZaZ2deaSvA0tBgA5cqxQXAymY3UT8DwcAAHkEhT/Rv';

/** The compiled steps of state-space models. */
export const ssmWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
