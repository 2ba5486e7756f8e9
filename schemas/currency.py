"""ISO 4217: which currencies there are, and how many decimals an amount in each may have.

Historic codes that were legal tender at some time since 1990 are known too, since facts as old as that may arrive. Codes
that are no money to be paid with (precious metals, bond units, test codes) are not.
"""

_TWO = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW
    CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR
    ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR
    MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP
    STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG ZWL HRK
    ATS AZM BGL BRC BRE BRN BRR BYB CSD CSK CYP CZJ DEM EEK FIM FRF GHC GWP GEK HRD IEP LTL LVL MRO MTL MXP MZM NLG PEI
    PLZ ROL RUR SDD SDP SIT SKK SRG STD SUR TMM TRL UAK UYP VEB VEF YUD YUM YUN ZMK ZRN ZRZ ZWD ZWR ZAL AOK AON AOR ADP
    AFA ARA MGF
"""
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF BEF ESP GRD ITL LUF PTE TPE BYR"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"

_EXPONENTS: dict[str, int] = {
    code: exponent for codes, exponent in ((_TWO, 2), (_NONE, 0), (_THREE, 3), (_FOUR, 4)) for code in codes.split()
}


def exponent(currency: str) -> int | None:
    """How many decimals an amount in `currency` (ISO 4217, upper case) may have; None for a currency that is not known."""
    return _EXPONENTS.get(currency)
