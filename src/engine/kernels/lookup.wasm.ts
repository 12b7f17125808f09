// Generated from kernels/lookup/index.ts by kernels/build.mjs; do not edit.
import { inflated } from './inflated.ts';

const base64 =
  'nVLNbhMxELa93uyP9y/ZpGkLpeM9IiHlyI2aCgk49AW4tEAvS9OiNiChqmrvqAgOJY8Az8GNZ+DCASHxCggDM06TNiXKAVuyx/PzfeOZYVsHfc4Y48ti' +
  'Mzw+X2xTjUV6iZx727svG/3t/t7+K8G45+ERrHiNwdbjne0DxoLn+3tPXzwZMD5xir/E4tT3xFF0yI9tggxMMI+Y3A3SFpWyt3Rrhs1HW4y2JtlGi59v' +
  'oJhihp78c5sIRKDtnW/nn83Qk7/y1oBD+VCugSePQJhgoP0L7PHSsWFaoq8E34jBA3SPAX9QWyaZ/crtD65jkKaotUy4Uoi9SgSrfEinoMMbDv11AlM6' +
  'QjQf0QT4xBw47mgurzmR/8uqqtDxPpJHeJ/c8YHev++erVPbyXxbsAsefh95GsBuCgbh2Vty/TR0Ae9/MWoLtOwGJtK0G/Ydxyd6ypmeKRTomULuPO0b' +
  'XiUYl0LmtGqijW3KhGyEcZIVrfbC4vL1G1ZJhkmgv0255weRSvNm2ekuXVtZRVsBzIS1RhcDtW5g2mJcg8DIWgfYJl5r32lKEksS1WdfhMfhIVY8Mo1B' +
  'jeOX5FeWY1ZUYb3gWpRRiyI3KTEoenDwINsBVVdNQtEFFi9HcwNyMksMyncgq41CY4Ida5oIyVLsYT2a9itd7szQlTN0bSRJoUWD0IGEcoSUzqoDC3aj' +
  'WrZZ1cWCOhNAx0jbr5ZQuYhK3YESuia0p1RzWBxLuoS2CygA4+2uk3uAYXZXo8WsPcM/pDRk6aic0MbU/kxv7CVCdTGtEoFfc+wstEcSNri0H7j9yXEc' +
  'aHC/c/AnJRKD2kaCVW1UY4oBhGRQRg6cDScmu1el8vDfavijCijo2G/cda20Hyc0BdE40BL/UNQwB6PAT40xupdShSkMmIsBUxgXefSmMHpzMXqXMHIa' +
  '2twVXJGonJiRmLlR/gs=';

/** The compiled products by looking up sums. */
export const lookupWasm = (): Uint8Array<ArrayBuffer> => inflated(base64);
