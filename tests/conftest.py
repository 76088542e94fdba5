"""This folder holds the checks that several tests share; pytest finds them because this file is here."""
